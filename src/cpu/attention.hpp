// The CPU's kernels for kernels/attention.hpp.
#pragma once
#include "cpu/context.hpp"
#include "kernels/attention.hpp"

namespace sspo::cpu {
using namespace kernels;

using AttentionForward = void (*)(const Context&, const AttentionArgs&);

struct AttentionOf {
  AttentionForward forward;
  void (*backward)(const Context&, const AttentionGradArgs&);
};

struct AttentionKernels {
  AttentionOf f32, f64;
  AttentionOf bf16;  // q, k, v, o and gradients bf16; mask and lse f32; everything between in f32
};

const AttentionKernels& attention_kernels(Isa);

}  // namespace sspo::cpu
