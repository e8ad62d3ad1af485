// Group norm and layer norm:   y = act(γ x̂ + β),   x̂ = (x - μ) r,   r = 1/√(σ² + ε)
//
// x, y, γ, β and their gradients have one type: f32, f64, or bf16 with f32 arithmetic. μ and r are kept
// as f64 whatever the type: a mean of 1e4 rounded to f32 would be off by a tenth of a σ of 1e-2.
// γ, β, dγ, dβ may be null. Statistics are f64 sums of x - x₀, so a constant has variance 0 exactly.
// Bits depend on the shape alone.
#pragma once
#include "sspo/base/config.hpp"

namespace sspo::kernels {

// x [batch, positions, channels]; group j is channels [j D, (j + 1) D), D = channels / groups, over all positions.
struct GroupNormArgs {
  Index batch, positions, channels, groups;
  double eps;
  bool silu;                  // y = silu(γ x̂ + β)
  const void* x;
  const void *gamma, *beta;   // [channels]
  void* y;                    // may be x
  double *mean, *rstd;        // [batch, groups]
};
// From g = dL/dy. dx may be g (not x); silu as in the forward pass: x̂ is computed again, no activation is saved.
struct GroupNormGradArgs {
  Index batch, positions, channels, groups;
  bool silu;
  const void *x, *gamma, *beta, *g;
  const double *mean, *rstd;
  void* dx;
  void *dgamma, *dbeta;       // [channels]
};

// x [rows, channels]; μ and σ of each row.
struct LayerNormArgs {
  Index rows, channels;
  double eps;
  const void* x;
  const void *gamma, *beta;   // [channels]
  void* y;                    // may be x
  double *mean, *rstd;        // [rows]
};
struct LayerNormGradArgs {
  Index rows, channels;
  const void *x, *gamma, *g;
  const double *mean, *rstd;
  void* dx;                   // may be g or x
  void *dgamma, *dbeta;       // [channels]
};

}  // namespace sspo::kernels
