// The vendor's libraries behind the interface of our own kernels, to measure these against: cuBLASLt for gemm.hpp, cuDNN for conv.hpp and
// attention.hpp. What a library cannot do is one clear Error that names our kernel as the way out; nothing falls back in silence.
//   cublas_gemm(ctx, DType::bf16, DType::f32, args);         if (const library::Fit f = cublas_gemm_fits(in, out, args); !f) ... f.what
#pragma once
#include "context.hpp"
#include "library_plan.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

void cublas_gemm(const Context& ctx, DType in, DType out, const kernels::GemmArgs& args);
library::Fit cublas_gemm_fits(DType in, DType out, const kernels::GemmArgs& args);

void cudnn_conv(const Context& ctx, DType dtype, const kernels::ConvArgs& args);
void cudnn_conv_data_gradient(const Context& ctx, DType dtype, const kernels::ConvDataGradientArgs& args);
void cudnn_conv_weight_gradient(const Context& ctx, DType in, DType out, const kernels::ConvWeightGradientArgs& args);
library::Fit cudnn_conv_fits(DType dtype, const kernels::ConvArgs& args);
library::Fit cudnn_conv_fits(DType dtype, const kernels::ConvDataGradientArgs& args);
library::Fit cudnn_conv_fits(DType in, DType out, const kernels::ConvWeightGradientArgs& args);

// Attention with a mask, other than causal, runs on our own kernel, here as said: the fits say no to it. cuDNN's documentation does not say
// what becomes of a query whose every key is hidden; ours gives O and gradients of 0.
void cudnn_attention(const Context& ctx, DType dtype, const kernels::AttentionArgs& args);
void cudnn_attention_grad(const Context& ctx, DType dtype, const kernels::AttentionGradArgs& args);
library::Fit cudnn_attention_fits(DType dtype, const kernels::AttentionArgs& args);
library::Fit cudnn_attention_fits(DType dtype, const kernels::AttentionGradArgs& args);

// Scratch as the libraries ask for it, at a multiple of 256 bytes wherever the device's arena cuts its blocks.
class LibraryWorkspace {
 public:
  LibraryWorkspace(const Context& ctx, std::size_t bytes, const char* what) : space_(ctx, bytes + 255, what) {}
  void* data() const { return reinterpret_cast<void*>((std::uintptr_t(space_.as<void>()) + 255) / 256 * 256); }

 private:
  Workspace space_;
};

// The libraries' own calls (gpu/cublas.cu, gpu/cudnn.cu), or on cuda-sim what they would check and compute (sim/libraries.cpp).
void call_cublas(const Context& ctx, const library::GemmPlan& plan);
void call_cudnn(const Context& ctx, const library::ConvPlan& plan);
void call_cudnn(const Context& ctx, const library::AttentionPlan& plan);
#if defined(__CUDACC__)
// The engine that cuDNN would take on a device that is not here, described in cuDNN's JSON: shows without a GPU that a plan can run.
std::string cudnn_engine(const library::ConvPlan& plan, const std::string& device);
std::string cudnn_engine(const library::AttentionPlan& plan, const std::string& device);
#endif

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
