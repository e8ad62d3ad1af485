// Attention and its gradients on a CUDA device, by blocks: neither S nor P is ever stored. f32, f64 and bf16, heads of up to 512.
// bf16 runs on tensor cores; so does f32, as tf32, where ctx.tf32 allows it.
// Arguments: src/kernels/attention.hpp, with pointers to device memory.
#pragma once
#include "context.hpp"
#include "kernels/attention.hpp"
#include "sspo/base/dtype.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

void attention(const Context&, DType, const kernels::AttentionArgs&);
void attention_grad(const Context&, DType, const kernels::AttentionGradArgs&);

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
