// Softmax over the last axis of [rows, cols], and its logarithm. f32, f64, bf16 with f32 arithmetic.
//   y = e^(x - max) / Σ e^(x - max)        log: y = (x - max) - log Σ e^(x - max)
// A row with a NaN or +inf, or of -inf alone, becomes NaN, as in PyTorch. Bits depend on the shape alone.
#pragma once
#include "sspo/base/config.hpp"

namespace sspo::kernels {

struct SoftmaxArgs {
  Index rows, cols;
  bool log;
  const void* x;
  void* y;              // may be x
};
// From y, the result, and g = dL/dy:   dx = y (g - Σ y g)        log: dx = g - e^y Σ g
struct SoftmaxGradArgs {
  Index rows, cols;
  bool log;
  const void *y, *g;
  void* dx;             // may be g or y
};

}  // namespace sspo::kernels
