// Convolutions on the device: kernels/conv.hpp says what is computed, conv.cu how.
//   conv(ctx, DType::bf16, {.shape = s, .x = x, .weight = w, .y = y, .bias = b});
#pragma once
#include "context.hpp"
#include "kernels/conv.hpp"
#include "sspo/base/dtype.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

// f32, f64 or bf16; f32 runs on tensor cores where ctx.tf32 allows it. Reads no packed_weight.
void conv(const Context& ctx, DType dtype, const kernels::ConvArgs& args);
void conv_data_gradient(const Context& ctx, DType dtype, const kernels::ConvDataGradientArgs& args);

// The gradients of weight and bias; `out` is their dtype: (f32, f32), (f64, f64), (bf16, bf16) or (bf16, f32).
void conv_weight_gradient(const Context& ctx, DType in, DType out, const kernels::ConvWeightGradientArgs& args);
void conv_bias_gradient(const Context& ctx, DType in, DType out, Index pixels, Index out_channels, const void* gy, void* gb);

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
