#include "sspo/tensor/tensor.hpp"

#include <cstdio>

#include "backend.hpp"

namespace sspo {

const char*& memory_label() {
  thread_local const char* label = "tensor";
  return label;
}

Storage::Storage(Device device, std::size_t bytes, const char* holder)
    : device_(std::move(device)), data_(device_.state().arena.allocate(bytes, holder)), bytes_(bytes) {}
Storage::~Storage() {
  derived = nullptr;  // may hold memory of the device, which this handle may be the last to keep alive
  device_.state().arena.release(data_);
}

Tensor Tensor::empty(const Shape& shape, DType dtype, const Device& device) {
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(std::size_t(shape.numel()), size_of(dtype), &bytes)) bytes = ~std::size_t(0);  // the arena refuses it
  auto storage = Shared<Storage>::make(device, bytes, memory_label());
  return Tensor(std::move(storage), {shape, contiguous_strides(shape), 0}, dtype);
}

Tensor Tensor::copy_in(const void* values, std::size_t count, DType dtype, const Shape& shape, const Device& device, Site at) {
  if (Index(count) != shape.numel())
    fail({.op = "tensor", .what = "the number of values does not fill the shape",
          .expected = std::to_string(shape.numel()) + " values for " + shape.str(), .got = std::to_string(count)}, at);
  Tensor t = empty(shape, dtype, device);
  backend(device).copy_from_host(values, t.mutable_raw(), count * size_of(dtype));
  return t;
}

void Tensor::copy_out(void* values, Index first, Index count, Site at) const {
  if (first < 0 || first > numel() - count)
    fail({.op = "item", .what = "element out of range", .expected = "an index below " + std::to_string(numel()) + " in " + str(),
          .got = std::to_string(first)}, at);
  if (contiguous()) {
    backend(device()).copy_to_host(static_cast<const char*>(raw()) + std::size_t(first) * size_of(dtype_), values,
                                   std::size_t(count) * size_of(dtype_));
    return;
  }
  Tensor packed = empty(shape(), dtype_, device());
  backend(device()).copy(view(*this), view(packed));
  packed.copy_out(values, first, count, at);
}

Tensor to_device(const Tensor& x, const Device& device) {
  if (x.device() == device) return x;
  const Device& from = x.device();
  Tensor packed = x;
  if (!x.contiguous()) {
    packed = Tensor::empty(x.shape(), x.dtype(), from);
    backend(from).copy(view(x), view(packed));
  }
  Tensor y = Tensor::empty(x.shape(), x.dtype(), device);
  const std::size_t bytes = std::size_t(x.numel()) * size_of(x.dtype());
  if (from.kind() == DeviceKind::cpu) {
    backend(device).copy_from_host(packed.raw(), y.mutable_raw(), bytes);
  } else if (device.kind() == DeviceKind::cpu) {
    backend(from).copy_to_host(packed.raw(), y.mutable_raw(), bytes);
  } else {
    std::vector<char> host(bytes);
    backend(from).copy_to_host(packed.raw(), host.data(), bytes);
    backend(device).copy_from_host(host.data(), y.mutable_raw(), bytes);
  }
  return y;
}

void Tensor::check_type(DType wanted, Site at) const {
  if (!defined())
    fail({.op = "tensor", .what = "no tensor here", .expected = "a tensor of " + std::string(name_of(wanted)), .got = "an undefined one"}, at);
  if (dtype_ != wanted)
    fail({.op = "tensor", .what = "read as the wrong type", .expected = std::string(name_of(dtype_)) + ", the dtype of " + str(),
          .got = std::string(name_of(wanted)), .hint = "cast(x, DType::" + std::string(name_of(wanted)) + ") converts"}, at);
}

void Tensor::wrong_rank(int wanted, Site at) const {
  fail({.op = "dims", .what = "wrong number of dimensions", .expected = "rank " + std::to_string(wanted),
        .got = defined() ? "rank " + std::to_string(rank()) + ": " + str() : "an undefined tensor"}, at);
}

std::string Tensor::str() const {
  return defined() ? shape().str() + " " + std::string(name_of(dtype_)) : "undefined";
}

namespace {

std::string number(const Tensor& x, Index i) {
  char text[48];
  visit(x.dtype(), [&]<class T>(std::type_identity<T>) {
    if constexpr (std::is_same_v<T, bool>) std::snprintf(text, sizeof text, "%s", x.item<bool>(i) ? "true" : "false");
    else if constexpr (std::is_integral_v<T>) std::snprintf(text, sizeof text, "%lld", static_cast<long long>(x.item<T>(i)));
    else if constexpr (std::is_same_v<T, double>) std::snprintf(text, sizeof text, "%.6g", x.item<double>(i));
    else std::snprintf(text, sizeof text, "%.6g", double(to_float(x.item<T>(i))));
  });
  return text;
}

void print(const Tensor& x, int axis, Index first, std::string& out) {
  if (axis == x.rank()) { out += number(x, first); return; }
  constexpr Index ends = 3;  // elements shown at either end of a long axis
  Index step = 1;
  for (int a = axis + 1; a < x.rank(); ++a) step *= x.dim(a);
  out += "[";
  for (Index i = 0; i < x.dim(axis); ++i) {
    if (i) out += ", ";
    if (x.dim(axis) > 2 * ends && i == ends) { out += "..., "; i = x.dim(axis) - ends; }
    print(x, axis + 1, first + i * step, out);
  }
  out += "]";
}

}  // namespace

std::string to_string(const Tensor& x) {
  if (!x.defined()) return "undefined";
  std::string out;
  print(x, 0, 0, out);
  return out + "  " + x.str();
}

// std::vector<bool> holds bits, tensors hold bytes.
template <>
Tensor Tensor::from<bool>(const std::vector<bool>& values, const Shape& shape, const Device& device, Site at) {
  const std::vector<std::uint8_t> bytes(values.begin(), values.end());
  return copy_in(bytes.data(), bytes.size(), DType::boolean, shape, device, at);
}
template <>
std::vector<bool> Tensor::to_vector<bool>(Site at) const {
  check_type(DType::boolean, at);
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(numel()));
  copy_out(bytes.data(), 0, numel(), at);
  return {bytes.begin(), bytes.end()};
}

}  // namespace sspo
