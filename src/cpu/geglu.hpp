// GEGLU: h [rows, 2 width] = (a, b) halves of each row,   y = a gelu(b),   gelu(b) = b Φ(b), exact (Shazeer 2020)
// f32, f64, bf16 with f32 arithmetic.
#pragma once
#include "cpu/context.hpp"
#include "sspo/base/config.hpp"

namespace sspo::cpu {

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

struct GegluOf {
  void (*geglu)(const Context&, const GegluArgs&);
  void (*geglu_grad)(const Context&, const GegluGradArgs&);
};
struct GegluKernels { GegluOf f32, f64, bf16; };
const GegluKernels& geglu_kernels(Isa);

}  // namespace sspo::cpu
