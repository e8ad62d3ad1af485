// 2-D convolution, channels last, as an implicit matrix product: no patch buffer is ever made.
//   Tensor y = conv2d(x, w, b, {.padding = same(3)});        // x [B, H, W, Cin], w [Cout, 3, 3, Cin / groups]
#pragma once
#include "sspo/ops/matmul.hpp"

namespace sspo {

struct Conv2dAttrs {
  std::array<Index, 2> stride = {1, 1};            // rows, columns
  std::array<Index, 4> padding = {0, 0, 0, 0};     // top, bottom, left, right; zeros
  std::array<Index, 2> dilation = {1, 1};
  Index groups = 1;
};
constexpr std::array<Index, 4> same(Index kernel) { return {(kernel - 1) / 2, kernel / 2, (kernel - 1) / 2, kernel / 2}; }

// y [B, Ho, Wo, Cout], Ho = (H + top + bottom - dilation (kh - 1) - 1) / stride + 1; bias [Cout], one for each sample [B, Cout], or {};
// residual: y's shape, added in the same pass over memory.
Tensor conv2d(Tensor x, Tensor w, Tensor bias = {}, Conv2dAttrs attrs = {}, Tensor residual = {}, Site at = Site::current());

struct Conv2d {
  using Attrs = Conv2dAttrs;
  static constexpr OpInfo info{"conv2d", "y[p, o] = Σ_tap,c x[p stride + tap dilation - pad, c] w[o, tap, c] + bias[o] + residual[p, o]"};
  static Tensor forward(const Attrs& attrs, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual, Site at);
  static constexpr bool keeps(int i, Needs need) { return i == 0 ? need[1] : i == 1 ? need[0] : false; }
  static Grads<4> vjp(const Attrs& attrs, Needs need, const Tensor& g, const Tensor& x, const Tensor& w, Meta bias, Meta residual);
  static Tensor reference(const Attrs& attrs, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual);
  static Index terms(const Tensors& in) { return in[1].dim(1) * in[1].dim(2) * in[1].dim(3) + 2; }
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

}  // namespace sspo
