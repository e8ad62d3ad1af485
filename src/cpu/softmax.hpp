// The CPU's kernels for kernels/softmax.hpp.
#pragma once
#include "cpu/context.hpp"
#include "kernels/softmax.hpp"

namespace sspo::cpu {
using namespace kernels;

struct SoftmaxOf {
  void (*softmax)(const Context&, const SoftmaxArgs&);
  void (*softmax_grad)(const Context&, const SoftmaxGradArgs&);
};
struct SoftmaxKernels { SoftmaxOf f32, f64, bf16; };
const SoftmaxKernels& softmax_kernels(Isa);

}  // namespace sspo::cpu
