// The bytes are a tar. Accepted means: members lie in the file, one behind the other, under plain names; written anew they read the same.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "sspo/io/tar.hpp"

using namespace sspo;
using namespace sspo::io;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

using Files = std::vector<std::pair<std::string, std::string>>;

Files files_of(std::string_view bytes, TarCounts* counts = nullptr) {
  const ByteSource file{bytes.size(), [&](std::uint64_t at, void* to, std::uint64_t count) {
                          require(at <= bytes.size() && count <= bytes.size() - at);
                          if (count) std::memcpy(to, bytes.data() + at, count);
                        }};
  Files files;
  std::uint64_t end = 0;
  const TarCounts found = read_tar(file, {.path = "f"}, [&](const TarMember& m) {
    require(m.begin >= end + 512 && m.begin <= bytes.size() && m.size <= bytes.size() - m.begin);
    require(!m.name.starts_with("/") && ("/" + m.name + "/").find("/../") == std::string::npos && m.name.find('\0') == std::string::npos);
    end = m.begin + m.size;
    files.emplace_back(m.name, bytes.substr(m.begin, m.size));
  });
  require(found.files == Index(files.size()));
  if (counts) *counts = found;
  return files;
}

// Mutated headers with a checksum that fits: else nothing behind it is ever reached.
std::string with_checksums(std::string_view bytes) {
  std::string tar(bytes);
  for (std::size_t at = 0; at + 512 <= tar.size(); at += 512) {
    if (tar.compare(at + 257, 5, "ustar") != 0) continue;
    std::memset(tar.data() + at + 148, ' ', 8);
    unsigned sum = 0;
    for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(tar[at + i]);
    char text[8];
    std::snprintf(text, sizeof text, "%06o", sum);
    std::memcpy(tar.data() + at + 148, text, 7);
  }
  return tar;
}

void read(std::string_view bytes) {
  try {
    const Files files = files_of(bytes);
    std::string again;
    for (const auto& [name, content] : files) again += tar_member(name, content);
    TarCounts counts;
    require(files_of(again + tar_end(), &counts) == files && counts.links == 0 && counts.devices == 0);
  } catch (const Error& e) {
    require(e.info().kind == ErrorKind::file && std::string_view(e.what()).find('\n') == std::string_view::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  read(bytes);
  read(with_checksums(bytes));
  return 0;
}
