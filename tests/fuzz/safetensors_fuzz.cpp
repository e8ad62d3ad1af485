// The bytes are a file. Accepted means: the ranges tile the data, and what is written from what was read reads the same.
#include <cstdlib>
#include <numeric>

#include "sspo/io/safetensors.hpp"

using namespace sspo;
using namespace sspo::io;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_ranges(const SafetensorsHeader& h, std::uint64_t begin, std::uint64_t end) {
  for (const StoredTensor& t : h.tensors) {
    require(t.begin == begin && t.end >= t.begin && h.find(t.name) == &t);
    std::uint64_t bits = t.type->bits;
    for (const std::uint64_t e : t.shape) bits *= e;
    require(bits == 8 * (t.end - t.begin));
    begin = t.end;
  }
  require(begin == end);
}

bool same(const SafetensorsHeader& a, const SafetensorsHeader& b) {
  const std::uint64_t shift = a.tensors.empty() ? 0 : b.tensors.at(0).begin - a.tensors[0].begin;
  bool equal = a.metadata == b.metadata && a.by_name == b.by_name && a.tensors.size() == b.tensors.size();
  for (std::size_t i = 0; equal && i < a.tensors.size(); ++i) {
    const StoredTensor &x = a.tensors[i], &y = b.tensors[i];
    equal = x.name == y.name && x.type == y.type && x.shape == y.shape && x.begin + shift == y.begin && x.end + shift == y.end;
  }
  return equal;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  try {
    const std::uint64_t length = safetensors_header_size(file.substr(0, 8), size, {.path = "f"});
    const SafetensorsHeader h = parse_safetensors(file.substr(8, length), size, {.path = "f"});
    check_ranges(h, 8 + length, size);
    const std::string text = write_safetensors_header(h.tensors, h.metadata);
    const SafetensorsHeader again = parse_safetensors(text, 8 + text.size() + (size - 8 - length), {.path = "f"});
    require(text.size() % 8 == 0 && same(h, again));
    require(write_safetensors_header(again.tensors, again.metadata) == text);
  } catch (const Error& e) {
    require(e.info().kind == ErrorKind::file && std::string_view(e.what()).find('\n') == std::string_view::npos);
  }
  return 0;
}
