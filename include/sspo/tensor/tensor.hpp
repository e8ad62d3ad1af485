// Tensor: a value. Cheap to copy (a handle on shared storage and a layout), never changed after it is
// made; views share storage. A tracked tensor also knows the op that made it (grad/node.hpp).
//   Tensor x = Tensor::from<float>({1, 2, 3, 4}, {2, 2});
//   const auto [rows, cols] = x.dims<2>();      float v = x.item<float>(3);
#pragma once
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "sspo/base/device.hpp"
#include "sspo/base/dtype.hpp"
#include "sspo/base/error.hpp"
#include "sspo/base/shared.hpp"
#include "sspo/base/shape.hpp"

namespace sspo {

struct Node;

// A block of device memory. `version` counts in-place changes: only Params make them.
class Storage {
 public:
  Storage(Device device, std::size_t bytes, const char* holder);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  const Device& device() const { return device_; }
  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  int version() const { return version_; }
  void bump_version() { ++version_; }
  std::string label;  // a parameter's name; empty otherwise
  // What a backend derived from this storage's contents, e.g. packed panels of a weight; see Params.
  mutable Shared<void> derived;
  bool derives = true;  // false: nothing of the kind, for those who would rather have the memory

 private:
  Device device_;
  void* data_;
  std::size_t bytes_;
  int version_ = 0;
};

// What a gradient needs to know of a tensor whose numbers it does not need.
struct Meta {
  Shape shape;
  DType dtype = DType::f32;
  Strides strides{};
};

class Tensor {
 public:
  Tensor() = default;  // no tensor: an absent option, an input without a gradient
  Tensor(Shared<Storage> storage, Layout layout, DType dtype, Shared<const Node> node = nullptr)
      : storage_(std::move(storage)), layout_(layout), dtype_(dtype), version_(storage_->version()), node_(std::move(node)) {}

  // Contents undefined: for those who fill it next.
  static Tensor empty(const Shape& shape, DType dtype = DType::f32, const Device& device = Device::cpu());
  // Copies host values; their number must be shape.numel().
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape, const Device& device = Device::cpu(), Site at = Site::current()) {
    return copy_in(values.data(), values.size(), dtype_of<T>, shape, device, at);
  }

  bool defined() const { return storage_ != nullptr; }
  explicit operator bool() const { return defined(); }
  const Shape& shape() const { return layout_.shape; }
  const Layout& layout() const { return layout_; }
  DType dtype() const { return dtype_; }
  const Device& device() const { return storage_->device(); }
  int rank() const { return shape().rank(); }
  Index numel() const { return shape().numel(); }
  Index dim(int axis) const { return shape()[axis]; }
  bool contiguous() const { return is_contiguous(layout_); }
  Meta meta() const { return {shape(), dtype_, layout_.strides}; }
  std::string str() const;  // "[2, 3] f32"

  template <int N>
  std::array<Index, N> dims(Site at = Site::current()) const {
    if (rank() != N) wrong_rank(N, at);
    std::array<Index, N> d;
    for (int i = 0; i < N; ++i) d[std::size_t(i)] = dim(i);
    return d;
  }

  // The first element; the others lie where layout() says. Throws unless T is the tensor's type.
  template <class T>
  const T* data(Site at = Site::current()) const { check_type(dtype_of<T>, at); return static_cast<const T*>(raw()); }
  const void* raw() const { return static_cast<const char*>(storage_->data()) + std::size_t(layout_.offset) * size_of(dtype_); }
  // Element i in row-major order, and all of them, on the host.
  template <class T>
  T item(Index i = 0, Site at = Site::current()) const { check_type(dtype_of<T>, at); T v; copy_out(&v, i, 1, at); return v; }
  template <class T>
  std::vector<T> to_vector(Site at = Site::current()) const;

  // Shape and dtype alone: what a graph keeps of an operand whose numbers no gradient needs. Not defined().
  Tensor without_numbers() const { Tensor t; t.layout_ = layout_; t.dtype_ = dtype_; return t; }

  // Autodiff: a tensor is tracked if a gradient can flow through it to a leaf.
  bool tracked() const { return node_ != nullptr; }
  const Shared<const Node>& node() const { return node_; }
  Tensor with_node(Shared<const Node> node) const { Tensor t = *this; t.node_ = std::move(node); return t; }
  const Shared<Storage>& storage() const { return storage_; }
  bool stale() const { return version_ != storage_->version(); }  // a Param has changed under this handle

  // For those who write a fresh result: ops and initialisers. Never on a tensor that others hold.
  template <class T>
  T* mutable_data(Site at = Site::current()) { check_type(dtype_of<T>, at); return static_cast<T*>(mutable_raw()); }
  void* mutable_raw() { return const_cast<void*>(raw()); }

 private:
  static Tensor copy_in(const void* values, std::size_t count, DType dtype, const Shape& shape, const Device& device, Site at);
  void copy_out(void* values, Index first, Index count, Site at) const;
  void check_type(DType wanted, Site at) const;
  [[noreturn]] void wrong_rank(int wanted, Site at) const;

  Shared<Storage> storage_;
  Layout layout_;
  DType dtype_ = DType::f32;
  int version_ = 0;
  Shared<const Node> node_;
};
using Tensors = std::vector<Tensor>;

// The same numbers on another device, contiguous; x itself where it lies there. No gradient flows back.
Tensor to_device(const Tensor& x, const Device& device);

template <>
Tensor Tensor::from<bool>(const std::vector<bool>& values, const Shape& shape, const Device& device, Site at);
template <>
std::vector<bool> Tensor::to_vector<bool>(Site at) const;
template <class T>
std::vector<T> Tensor::to_vector(Site at) const {
  check_type(dtype_of<T>, at);
  std::vector<T> values(static_cast<std::size_t>(numel()));
  copy_out(values.data(), 0, numel(), at);
  return values;
}

// "[[1, 2], [3, 4]]  [2, 2] f32": values of the first and last rows, shape, dtype.
std::string to_string(const Tensor& x);

}  // namespace sspo
