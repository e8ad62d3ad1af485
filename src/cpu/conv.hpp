// The CPU's kernels for kernels/conv.hpp.
#pragma once
#include <cstddef>

#include "cpu/context.hpp"
#include "kernels/conv.hpp"

namespace sspo::cpu {
using namespace kernels;

struct ConvOf {
  void (*forward)(const Context&, const ConvArgs&);
  void (*data_gradient)(const Context&, const ConvDataGradientArgs&);
  void (*weight_gradient)(const Context&, const ConvWeightGradientArgs&);
  // gb[o] (+)= Σ_pixels gy[pixel, o], in the kernel's result type
  void (*bias_gradient)(const Context&, Index pixels, Index out, const void* gy, void* gb, bool accumulate);
  std::size_t (*packed_weight_bytes)(const ConvShape&);
  void (*pack_weight)(const Context&, const ConvShape&, const void* weight, void* packed);
};

struct ConvKernels {
  ConvOf f32 = {}, f64 = {};
  ConvOf bf16 = {};      // everything bf16, f32 sums
  ConvOf bf16_f32 = {};  // bf16 arguments; the gradients of weight and bias are f32 (forward and data gradient: as bf16)
};

const ConvKernels& conv_kernels(Isa);

}  // namespace sspo::cpu
