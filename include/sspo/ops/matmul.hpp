// Matrix products, with everything a linear layer does around them.
//   Tensor y = linear(x, w, b);                       // x [..., in], w [out, in], b [out] -> [..., out]
//   Tensor s = matmul(q, transpose(k));               // [B, N, D] x [B, D, M] -> [B, N, M]; transposes cost nothing
// f32, f64, and bf16 with f32 sums; f16 through f32.
#pragma once
#include "sspo/ops/activation.hpp"
#include "sspo/ops/elementwise.hpp"
#include "sspo/ops/movement.hpp"
#include "sspo/ops/reduce.hpp"

namespace sspo {

Tensor activate(Tensor x, Activation activation);

struct Epilogue {
  Tensor bias = {};      // [n]
  Tensor residual = {};  // the result's shape
  Activation activation = Activation::none;
};

// act(a b + bias + residual): a [..., m, k], b [..., k, n]; leading axes broadcast.
Tensor matmul(Tensor a, Tensor b, Epilogue epilogue = {}, Site at = Site::current());
// act(x wᵀ + bias + residual): x [..., in], w [out, in].
Tensor linear(Tensor x, Tensor w, Tensor bias = {}, Activation activation = Activation::none, Tensor residual = {}, Site at = Site::current());

struct Matmul {
  struct Attrs { Activation activation = Activation::none; };
  static constexpr OpInfo info{"matmul", "act(a b + bias + residual)"};
  static Tensor forward(const Attrs& attrs, const Tensor& a, const Tensor& b, const Tensor& bias, const Tensor& residual, Site at);
  // a is kept for b's gradient, b for a's (and for its layout, which b's gradient takes); the rest only
  // where an activation's slope has to be found again.
  static bool keeps(const Attrs& attrs, int i, Needs need) {
    return i == 1 || attrs.activation != Activation::none || (i == 0 && need[1]);
  }
  static Grads<4> vjp(const Attrs& attrs, Needs need, const Tensor& g, const Tensor& a, const Tensor& b, const Tensor& bias,
                      const Tensor& residual);
  static Index terms(const Tensors& in) { return in[0].dim(-1) + 2; }
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

}  // namespace sspo
