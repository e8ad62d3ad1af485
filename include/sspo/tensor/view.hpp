// View: what a kernel sees of a tensor. A pointer, a type and a layout; no ownership, no graph.
#pragma once
#include "sspo/base/dtype.hpp"
#include "sspo/base/shape.hpp"

namespace sspo {

struct View {
  void* data;       // the first element
  DType dtype;
  Shape shape;
  Strides strides;  // in elements
  template <class T>
  T* as() const { return static_cast<T*>(data); }
};

}  // namespace sspo
