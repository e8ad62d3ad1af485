// GEGLU: h [rows, 2 width] = (a, b) halves of each row,   y = a gelu(b),   gelu(b) = b Φ(b), exact (Shazeer 2020)
// f32, f64, bf16 with f32 arithmetic.
#pragma once
#include "sspo/base/config.hpp"

namespace sspo::kernels {

struct GegluArgs {
  Index rows, width;
  const void* h;  // [rows, 2 width]
  void* y;        // [rows, width]
};
// da = g gelu(b)    db = g a gelu'(b),   gelu'(b) = Φ(b) + b φ(b)
struct GegluGradArgs {
  Index rows, width;
  const void* h;
  const void* g;  // [rows, width]
  void* dh;       // [rows, 2 width]; may be h
};

}  // namespace sspo::kernels
