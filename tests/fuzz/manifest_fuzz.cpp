// The bytes are a MANIFEST.json. Accepted means: names are plain, digests are digests, and what is written reads the same.
#include <cstdlib>

#include "sspo/io/manifest.hpp"

using namespace sspo;
using namespace sspo::io;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const Manifest m = parse_manifest(text, {.path = "f"});
    for (const auto& [name, entry] : m.files) {
      require(!name.empty() && name[0] != '/' && ("/" + name + "/").find("/../") == std::string::npos && name != "MANIFEST.json");
      require(entry.sha256.size() == 64 && entry.sha256.find_first_not_of("0123456789abcdef") == std::string::npos);
    }
    const std::string once = write_manifest(m);
    require(parse_manifest(once, {.path = "f"}) == m && write_manifest(parse_manifest(once, {.path = "f"})) == once);
  } catch (const Error& e) {
    require(e.info().kind == ErrorKind::file && std::string_view(e.what()).find('\n') == std::string_view::npos);
  }
  return 0;
}
