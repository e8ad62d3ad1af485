// The bytes are a file of torch.save. Accepted means: names are unique and each tensor, strides and all, lies in the file.
#include <cstdlib>
#include <cstring>

#include "io/torch_contents.hpp"

using namespace sspo;
using namespace sspo::io;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_tensor(const StoredTensor& t, std::uint64_t size) {
  require(t.begin <= t.end && t.end <= size && t.type && (t.strides.empty() || t.strides.size() == t.shape.size()));
  std::uint64_t count = 1, last = 0;
  for (const std::uint64_t extent : t.shape) count *= extent;
  for (std::size_t i = 0; i < t.strides.size(); ++i) last += (t.shape[i] - 1) * t.strides[i];
  require((t.end - t.begin) * 8 == (t.strides.empty() ? count : last + 1) * t.type->bits);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto read = [&](std::uint64_t at, void* to, std::uint64_t bytes) {
    require(at <= size && bytes <= size - at);
    if (bytes) std::memcpy(to, data + at, bytes);
  };
  try {
    const TorchContents c = parse_torch({size, read}, {.path = "f"});
    for (std::size_t i = 0; i < c.tensors.size(); ++i) {
      check_tensor(c.tensors[i], size);
      require(i == 0 || c.tensors[i - 1].name < c.tensors[i].name);
    }
  } catch (const Error& e) {
    require(e.info().kind == ErrorKind::file && std::string_view(e.what()).find('\n') == std::string_view::npos);
  }
  return 0;
}
