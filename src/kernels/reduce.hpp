// Reductions of x [outer, count, inner], contiguous, over the middle axis:   y[o, i] = ⊕_r x[o, r, i]
//
// f32 and bf16 are summed in f32 over runs of fixed length, the runs in f64; so the error is that of a
// tree, and 2^20 bf16 ones are 2^20. The tree depends on the shape alone. Sums of nothing are 0.
#pragma once
#include "sspo/base/config.hpp"

namespace sspo::kernels {

struct ReductionArgs {
  Index outer, count, inner;
  const void* x;
  void* y;                       // [outer, inner], of y's type; argmax: i64
  const void* center = nullptr;  // sum_squares: [outer, inner] of y's type, or null for 0
  double divisor = 1;            // sum and sum_squares are divided by it
};

}  // namespace sspo::kernels
