// Optimizer steps: one pass over parameters, gradients and moments, f32, in place.
//
// A step takes all tensors of a model at once; they are cut into pieces of fixed size. Elements do not
// meet, so the bits depend on nothing else.
#pragma once
#include "sspo/base/config.hpp"

namespace sspo::kernels {

// AdamW (Loshchilov & Hutter 2019), in PyTorch's order of operations, with g scaled first:
//   p -= lr λ p    m += (1 - β₁)(g - m)    v = β₂ v + (1 - β₂) g²    p -= lr/(1 - β₁ᵗ) m / (√v / √(1 - β₂ᵗ) + ε)
struct AdamWTensor {
  float* p;
  const float* g;
  float *m, *v;
  Index size;
  double weight_decay;  // λ
};
struct AdamWArgs {
  const AdamWTensor* tensors;
  Index count;
  double lr, beta1, beta2, eps;
  Index step;             // t, from 1
  double grad_scale = 1;  // clipping, loss scale
};

// g += λ p;   u = μ u + g;   p -= lr u, or lr (g + μ u) with nesterov. u starts at 0 and may be null if μ = 0.
struct SgdTensor {
  float* p;
  const float* g;
  float* u;
  Index size;
  double weight_decay;
};
struct SgdArgs {
  const SgdTensor* tensors;
  Index count;
  double lr, momentum;
  bool nesterov = false;
  double grad_scale = 1;
};

// e = d e + (1 - d) p
struct EmaTensor {
  float* e;
  const float* p;
  Index size;
};
struct EmaArgs {
  const EmaTensor* tensors;
  Index count;
  double decay;  // d
};

}  // namespace sspo::kernels
