#include "sspo/io/safetensors.hpp"

#include <algorithm>
#include <bit>

#include "io/stored.hpp"

namespace sspo::io {
namespace {

static_assert(std::endian::native == std::endian::little, "the bytes of a file are those of memory");

SafetensorsHeader read_header(const File& file) {
  const Place place{.path = file.path()};
  char first[8] = {};
  file.read(0, first, std::min<std::uint64_t>(8, file.size()));
  const std::uint64_t size = safetensors_header_size({first, 8}, file.size(), place);
  std::string text(size, '\0');
  file.read(8, text.data(), size);
  return parse_safetensors(text, file.size(), place);
}

// The elements of a tensor in row-major order: where they lie, or a copy in `packed`.
std::string_view bytes_of(const Tensor& x, std::string& packed) {
  const std::size_t bytes = std::size_t(x.numel()) * size_of(x.dtype());
  if (x.contiguous() && x.device().kind() == DeviceKind::cpu) return {static_cast<const char*>(x.raw()), bytes};
  visit(x.dtype(), [&]<class T>(std::type_identity<T>) {
    const std::vector<T> values = x.to_vector<T>();
    if constexpr (std::is_same_v<T, bool>) packed.assign(values.begin(), values.end());
    else packed.assign(reinterpret_cast<const char*>(values.data()), bytes);
  });
  return packed;
}

[[noreturn]] void cannot_save(const std::string& name, const char* what) {
  fail({.op = "save_safetensors", .what = what, .got = "\"" + printable(name) + "\""}, Site{});
}

std::vector<const TensorSource*> in_file_order(const std::vector<TensorSource>& tensors) {
  std::vector<const TensorSource*> order;
  for (const TensorSource& t : tensors) {
    if (t.name == "__metadata__") cannot_save(t.name, "a name the format keeps for itself");
    order.push_back(&t);
  }
  std::sort(order.begin(), order.end(), [](const TensorSource* a, const TensorSource* b) {
    const std::size_t x = size_of(a->dtype), y = size_of(b->dtype);
    return x != y ? x > y : a->name < b->name;
  });
  std::vector<std::string_view> names;
  for (const TensorSource* t : order) names.push_back(t->name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) cannot_save(std::string(*twice), "two tensors of one name");
  return order;
}

std::vector<StoredTensor> laid_out(const std::vector<const TensorSource*>& order) {
  std::vector<StoredTensor> stored;
  std::uint64_t at = 0;
  for (const TensorSource* t : order) {
    const std::uint64_t end = at + std::uint64_t(t->shape.numel()) * size_of(t->dtype);
    stored.push_back({t->name, stored_type(t->dtype), {t->shape.begin(), t->shape.end()}, at, end});
    at = end;
  }
  return stored;
}

}  // namespace

Safetensors::Safetensors(std::string path) : file_(std::move(path)), header_(read_header(file_)) {}

Tensor Safetensors::load(std::string_view name, const Device& device) const {
  const StoredTensor* t = find(name);
  if (!t) bad_file({.path = path(), .field = std::string(name)}, "there is no tensor of this name", {}, std::to_string(tensors().size()) + " others");
  return load(*t, device);
}

Tensor Safetensors::load(const StoredTensor& t, const Device& device) const {
  return load_stored(file_, t, device);
}

void save_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors, const Metadata& metadata) {
  std::vector<TensorSource> sources;
  for (const NamedTensor& t : tensors) {
    if (!t.tensor.defined()) cannot_save(t.name, "no tensor under this name");
    sources.push_back({t.name, t.tensor.shape(), t.tensor.dtype(), [x = t.tensor] { return x; }});
  }
  stream_safetensors(path, sources, metadata);
}

void stream_safetensors(const std::string& path, const std::vector<TensorSource>& tensors, const Metadata& metadata) {
  const std::vector<const TensorSource*> order = in_file_order(tensors);
  const std::string header = write_safetensors_header(laid_out(order), metadata);
  std::string length;
  for (int i = 0; i < 8; ++i) length += static_cast<char>(std::uint64_t(header.size()) >> (8 * i) & 0xff);
  FileWriter file(path);
  file.write(length);
  file.write(header);
  for (const TensorSource* t : order) {
    std::string packed;
    const Tensor x = t->read();
    file.write(bytes_of(x, packed));
  }
  file.finish();
}

}  // namespace sspo::io
