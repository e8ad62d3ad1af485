// The CPU's kernels for kernels/reduce.hpp.
#pragma once
#include "cpu/context.hpp"
#include "kernels/reduce.hpp"

namespace sspo::cpu {
using namespace kernels;

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
