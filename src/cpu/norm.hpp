// The CPU's kernels for kernels/norm.hpp.
#pragma once
#include "cpu/context.hpp"
#include "kernels/norm.hpp"

namespace sspo::cpu {
using namespace kernels;

struct NormOf {
  void (*group_norm)(const Context&, const GroupNormArgs&);
  void (*group_norm_grad)(const Context&, const GroupNormGradArgs&);
  void (*layer_norm)(const Context&, const LayerNormArgs&);
  void (*layer_norm_grad)(const Context&, const LayerNormGradArgs&);
};
struct NormKernels { NormOf f32, f64, bf16; };
const NormKernels& norm_kernels(Isa);

}  // namespace sspo::cpu
