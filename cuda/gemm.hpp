// Matrix products on the device: kernels/gemm.hpp says what is computed, gemm_tiles.cuh how.
//   gemm(ctx, DType::bf16, DType::f32, {.m = out, .n = in, .k = tokens, .a = {gy, 1, out}, .b = {x, in, 1}, .c = gw, .ldc = in});
#pragma once
#include "context.hpp"
#include "kernels/gemm.hpp"
#include "sspo/base/dtype.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

// `in` is the dtype of A and B, `out` of the rest: (f32, f32), (f64, f64), (bf16, bf16) or (bf16, f32). Reads no packed_b.
// f32 runs on tensor cores where ctx.tf32 allows it.
void gemm(const Context& ctx, DType in, DType out, const kernels::GemmArgs& args);

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
