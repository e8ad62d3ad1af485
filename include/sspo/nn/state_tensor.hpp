// StateTensor: a tensor that changes from step to step, wherever it lies in between: in the device's memory, or in a file that it is read from
// for a step and written back to.
//   Tensor m = kept.load();  ... changed in place ...  kept.store(m);
#pragma once
#include <optional>
#include <utility>

#include "sspo/base/function.hpp"
#include "sspo/tensor/tensor.hpp"

namespace sspo {

class StateTensor {
 public:
  explicit StateTensor(Tensor in_memory) : memory_(std::move(in_memory)), shape_(memory_.shape()), dtype_(memory_.dtype()) {}
  StateTensor(const Shape& shape, DType dtype, Function<Tensor()> load, Function<void(const Tensor&)> store)
      : shape_(shape), dtype_(dtype), load_(std::move(load)), store_(std::move(store)) {}

  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  std::string str() const { return shape_.str() + " " + std::string(name_of(dtype_)); }
  bool in_memory() const { return memory_.defined(); }
  Tensor load() const { return in_memory() ? memory_ : load_(); }  // the tensor itself, or a copy that is the caller's
  void store(const Tensor& x) const {                              // what load() gave; one in memory is there already
    if (!in_memory()) store_(x);
  }

 private:
  Tensor memory_;
  Shape shape_;
  DType dtype_;
  Function<Tensor()> load_;
  Function<void(const Tensor&)> store_;
};

// Where new ones go: StateTensor(x), or a file's (train/scratch_file.hpp). Null: memory.
using Keep = Function<StateTensor(const Tensor&)>;

}  // namespace sspo
