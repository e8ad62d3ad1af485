// Two-dimensional convolution, channels last, as implicit matrix products: no im2col buffer exists.
//
//   x [batch, h, w, in]   weight [out, kh, kw, in / groups]   y [batch, out_h, out_w, out]    all contiguous
//   y[b, i, j, o] = act(bias[o] + Σ_{u, v, c} x[b, i stride + u dilation - pad, ..., c] weight[o, u, v, c] + ...)
//
//   forward          y  = patches(x) weightᵀ       [pixels, taps in] x [taps in, out]
//   data_gradient    gx = patches(gy) weight       one product for each residue of the stride
//   weight_gradient  gw = gyᵀ patches(x)           [out, pixels] x [pixels, taps in]
//
// Each costs 2 batch out_h out_w kh kw in out / groups FLOPs. Sums and determinism: as in kernels/gemm.hpp.
#pragma once
#include "sspo/base/config.hpp"
#include "sspo/ops/activation.hpp"

namespace sspo::kernels {

struct ConvShape {
  Index batch = 1, h = 1, w = 1, in = 1, out = 1;
  Index kh = 1, kw = 1, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  Index top = 0, bottom = 0, left = 0, right = 0;  // padding with zeros
  Index groups = 1;                                // divides in and out

  // The taps' extent must fit the padded image (at least 1 pixel comes out).
  Index out_h() const { return (h + top + bottom - (kh - 1) * dilation_h - 1) / stride_h + 1; }
  Index out_w() const { return (w + left + right - (kw - 1) * dilation_w - 1) / stride_w + 1; }
};

struct ConvArgs {
  ConvShape shape;
  const void *x = nullptr, *weight = nullptr;
  void* y = nullptr;
  const void* bias = nullptr;         // [out] or null
  const void* sample_bias = nullptr;  // [batch, out] or null, instead of bias: one for each sample (add the bias to it)
  const void* residual = nullptr;     // as y, or null
  Activation act = Activation::none;
  const void* packed_weight = nullptr;  // what pack_weight made of `weight`, or null
};

struct ConvDataGradientArgs {
  ConvShape shape;
  const void *gy = nullptr, *weight = nullptr;
  void* gx = nullptr;
  bool accumulate = false;  // gx += ...
};

struct ConvWeightGradientArgs {
  ConvShape shape;
  const void *x = nullptr, *gy = nullptr;
  void* gw = nullptr;       // of the kernel's result type
  bool accumulate = false;  // gw += ...
};

}  // namespace sspo::kernels
