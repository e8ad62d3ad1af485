// Reductions of x [outer, count, inner], contiguous, over the middle axis:   y[o, i] = ⊕_r x[o, r, i]
//
// f32 and bf16 are summed in f32 over runs of fixed length, the runs in f64; so the error is that of a
// tree, and 2^20 bf16 ones are 2^20. The tree depends on the shape alone. Sums of nothing are 0.
#pragma once
#include "cpu/context.hpp"
#include "sspo/base/config.hpp"

namespace sspo::cpu {

struct ReductionArgs {
  Index outer, count, inner;
  const void* x;
  void* y;                       // [outer, inner], of y's type; argmax: i64
  const void* center = nullptr;  // sum_squares: [outer, inner] of y's type, or null for 0
  double divisor = 1;            // sum and sum_squares are divided by it
};

struct ReduceOf {
  void (*sum)(const Context&, const ReductionArgs&);
  void (*sum_squares)(const Context&, const ReductionArgs&);  // Σ (x - center)²
  void (*max)(const Context&, const ReductionArgs&);          // count > 0; NaN if any is NaN
  void (*min)(const Context&, const ReductionArgs&);
  void (*argmax)(const Context&, const ReductionArgs&);       // count in (0, 2^31); NaN is largest; the first of equals
  double (*dot)(const Context&, const void* a, const void* b, Index n);  // Σ a b, products and sums in f64
};
struct ReduceKernels {
  ReduceOf f32, f64;
  ReduceOf bf16;      // y bf16
  ReduceOf bf16_f32;  // y and center f32
  ReduceOf i64;       // no sum_squares, no dot; the divisor is ignored
};
const ReduceKernels& reduce_kernels(Isa);

}  // namespace sspo::cpu
