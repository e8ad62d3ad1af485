// The bytes are an index of files and a model_index.json. Accepted means: names are plain, and what is written reads the same.
#include <cstdlib>

#include "sspo/io/model_dir.hpp"

using namespace sspo;
using namespace sspo::io;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

template <class F>
void refused_well(F read) {
  try {
    read();
  } catch (const Error& e) {
    require(e.info().kind == ErrorKind::file && std::string_view(e.what()).find('\n') == std::string_view::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Place place{.path = "f"};
  refused_well([&] {
    const ShardIndex index = parse_shard_index(text, place);
    for (const auto& [name, file] : index.weight_map) require(file[0] != '/' && ("/" + file + "/").find("/../") == std::string::npos);
    const ShardIndex again = parse_shard_index(write_shard_index(index), place);
    require(again.total_size == index.total_size && again.weight_map == index.weight_map);
  });
  refused_well([&] {
    const std::string once = write_model_index(parse_model_index(text, place));
    require(write_model_index(parse_model_index(once, place)) == once);
  });
  return 0;
}
