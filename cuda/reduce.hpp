// Reductions of x [outer, count, inner] over the middle axis on a CUDA device: argument struct in kernels/reduce.hpp, pointers
// on the device. `in` is the dtype of x: f32, f64, bf16 or i64; `out` that of y: the same, or f32 for bf16.
#pragma once
#include <span>

#include "context.hpp"
#include "kernels/reduce.hpp"
#include "sspo/base/dtype.hpp"
#include "sspo/tensor/view.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

void reduce_sum(const Context&, DType in, DType out, const kernels::ReductionArgs&);
void reduce_sum_squares(const Context&, DType in, DType out, const kernels::ReductionArgs&);  // not i64
void reduce_max(const Context&, DType in, DType out, const kernels::ReductionArgs&);
void reduce_min(const Context&, DType in, DType out, const kernels::ReductionArgs&);
void reduce_argmax(const Context&, DType in, const kernels::ReductionArgs&);  // y is i64
void sums_of_squares(const Context&, std::span<const View> xs, double* sums);  // contiguous f32, f64, bf16; summed in f64; waits for the stream, once

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
