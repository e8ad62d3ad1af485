// The CPU's kernels for kernels/geglu.hpp.
#pragma once
#include "cpu/context.hpp"
#include "kernels/geglu.hpp"

namespace sspo::cpu {
using namespace kernels;

struct GegluOf {
  void (*geglu)(const Context&, const GegluArgs&);
  void (*geglu_grad)(const Context&, const GegluGradArgs&);
};
struct GegluKernels { GegluOf f32, f64, bf16; };
const GegluKernels& geglu_kernels(Isa);

}  // namespace sspo::cpu
