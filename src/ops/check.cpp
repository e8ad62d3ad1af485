#include "ops/check.hpp"

namespace sspo {

std::string label_of(const Tensor& x) {
  return x.defined() && !x.storage()->label.empty() ? " '" + x.storage()->label + "'" : "";
}

void check_same_floating(const char* op, std::initializer_list<const Tensor*> operands, Site at) {
  const Tensor& first = **operands.begin();
  for (const Tensor* x : operands) {
    if (!x->defined()) {
      if (x == &first) fail({.op = op, .what = "an operand is undefined", .expected = "a tensor", .got = "Tensor{}"}, at);
      continue;
    }
    if (!is_floating(x->dtype()))
      fail({.op = op, .what = "operands must be floating-point", .expected = "f32, f64, bf16 or f16", .got = x->str(), .hint = "cast(x, DType::f32) converts"}, at);
    if (x->dtype() != first.dtype())
      fail({.op = op, .what = "operands have different dtypes", .expected = std::string(name_of(first.dtype())) + ", the dtype of " + first.str(),
            .got = x->str() + label_of(*x), .hint = "cast(x, DType::" + std::string(name_of(first.dtype())) + ") converts"}, at);
  }
}

void check_vector(const char* op, const char* name, const Tensor& x, Index extent, Site at) {
  if (x.defined() && !(x.shape() == Shape{extent}))
    fail({.op = op, .what = std::string(name) + " does not fit", .expected = Shape{extent}.str() + ", one value per channel", .got = x.str() + label_of(x)}, at);
}

}  // namespace sspo
