#include "cli/inputs.hpp"

#include "sspo/grad/node.hpp"
#include "sspo/ops/elementwise.hpp"

namespace sspo::cli {

void Inputs::wrong(const std::string& name, const std::string& expected, const Tensor& x) const {
  io::bad_file({.path = file_.path(), .field = name}, "the input does not fit", expected, x.str());
}

Tensor Inputs::any(const std::string& name, int rank) const {
  const Tensor x = file_.load(name, device_);
  if (x.rank() != rank) wrong(name, std::to_string(rank) + " axes", x);
  return x;
}

Tensor Inputs::floats(const std::string& name, int rank) {
  Tensor x = any(name, rank);
  if (!is_floating(x.dtype())) wrong(name, "a floating-point type", x);
  x = cast(x, dtype_);
  if (track_) tracked_.push_back({name, x = track(x, name)});
  return x;
}

Tensor Inputs::integers(const std::string& name, int rank) const {
  const Tensor x = any(name, rank);
  if (x.dtype() != DType::i64 && x.dtype() != DType::i32) wrong(name, "I32 or I64", x);
  return x;
}

}  // namespace sspo::cli
