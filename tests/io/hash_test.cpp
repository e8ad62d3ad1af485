// FIPS 180-4's own examples.
#include "sspo/io/hash.hpp"

#include <doctest/doctest.h>

#include "io/folder.hpp"

using namespace sspo;

TEST_CASE("sha256: published test vectors") {
  CHECK(io::sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(io::sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(io::sha256_hex(std::string(1'000'000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("sha256: a file in pieces is its bytes") {
  const testing::TempFolder folder;
  std::string bytes;
  for (int i = 0; i < (9 << 20); ++i) bytes += char(i * 31 >> 7);
  io::write_file(folder / "f", bytes);
  CHECK(io::sha256_hex(io::File(folder / "f")) == io::sha256_hex(std::string_view(bytes)));
}
