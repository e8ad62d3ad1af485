// Optimizer steps: one pass over parameters, gradients and moments, f32, in place.
//
// A step takes all tensors of a model at once; they are cut into pieces of fixed size. Elements do not
// meet, so the bits depend on nothing else.
#pragma once
#include <cstdint>

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

// The same with both moments in 8 bits: m and r = √v (its codes reach twice as many decades of v, and a step reads v's root anyway).
// `moments_block` elements share a scale, their largest size; an element is its code's number (moment_map.hpp) times the scale. A
// step is made in f32, then m and r are rounded to the nearest numbers, r > 0 to one above 0, so that no step divides by ε alone. A moment's error
// enters with the next step. A largest |m| below 1e-36 counts as 0.
constexpr Index moments_block = 256;
struct AdamW8bitTensor {
  float* p;
  const float* g;
  std::uint8_t *m, *r;         // [size]
  float *m_scale, *r_scale;    // [⌈size / 256⌉]
  Index size;
  double weight_decay;
};
struct AdamW8bitArgs {
  const AdamW8bitTensor* tensors;
  Index count;
  double lr, beta1, beta2, eps;
  Index step;
  double grad_scale = 1;
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
