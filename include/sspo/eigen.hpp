// as_eigen(x): a tensor's numbers as an Eigen matrix, without a copy. Opt-in: it needs Eigen in the
// user's own build, so the umbrella header leaves it out.
//   const Tensor x = ...;                                   // [rows, cols] f32, contiguous
//   Eigen::VectorXf norms = as_eigen(x).rowwise().norm();   // valid while x lives
#pragma once
#include <Eigen/Core>

#include "sspo/tensor/tensor.hpp"

namespace sspo {

template <class T>
using EigenView = Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

// [..., last] as [product of the others, last]; a vector or a scalar is one row. Read-only: tensors do not
// change. Errors: T is not x's dtype; x is a view that is not row-major. A temporary whose memory would be
// gone at the end of the line is fine within that line only.
template <class T = float>
EigenView<T> as_eigen(const Tensor& x, Site at = Site::current()) {
  static_assert(std::is_arithmetic_v<T>, "Eigen has no 16-bit floats of ours: cast(x, DType::f32) first");
  const T* data = x.data<T>(at);
  if (!x.contiguous())
    fail({.op = "as_eigen", .what = "not one row-major block", .expected = "a contiguous tensor", .got = x.str() + ", a view",
          .hint = "contiguous(x) makes a copy that is"}, at);
  const Index cols = x.rank() ? x.dim(-1) : 1;
  Index rows = 1;
  for (int a = 0; a + 1 < x.rank(); ++a) rows *= x.dim(a);
  return {data, rows, cols};
}

}  // namespace sspo
