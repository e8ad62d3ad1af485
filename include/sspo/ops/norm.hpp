// Group norm (with SiLU in the same pass), layer norm, GEGLU: the ops between the matrix products.
//   Tensor h = group_norm(x, gamma, beta, {.groups = 32, .silu = true});      // x [B, ..., C]
#pragma once
#include "sspo/ops/matmul.hpp"

namespace sspo {

struct GroupNormAttrs {
  Index groups = 32;
  double eps = 1e-5;
  bool silu = false;  // y = silu(normalised): what stands behind nearly every group norm of a UNet
};
struct LayerNormAttrs {
  double eps = 1e-5;
};

// x [B, ..., C], normalised over all but B within each of `groups` equal parts of C; gamma, beta [C] or {}.
Tensor group_norm(Tensor x, Tensor gamma, Tensor beta, GroupNormAttrs attrs = {}, Site at = Site::current());
// x [..., C], normalised over C.
Tensor layer_norm(Tensor x, Tensor gamma = {}, Tensor beta = {}, LayerNormAttrs attrs = {}, Site at = Site::current());
// h [..., 2F] -> h[..., :F] gelu(h[..., F:])                                              Shazeer 2020
Tensor geglu(Tensor h, Site at = Site::current());

struct NormStats { Tensor mean, rstd; };  // [B, groups], or [rows]

struct GroupNorm {
  using Attrs = GroupNormAttrs;
  static constexpr OpInfo info{"group_norm", "γ (x - μ) / √(σ² + ε) + β per group, then SiLU if asked"};  // Wu & He 2018
  static Kept<NormStats> forward(const Attrs& attrs, const Tensor& x, const Tensor& gamma, const Tensor& beta, Site at);
  static Grads<3> vjp(const Attrs& attrs, Needs need, const Tensor& g, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                      const NormStats& stats);
  static Tensor reference(const Attrs& attrs, const Tensor& x, const Tensor& gamma, const Tensor& beta);
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct LayerNorm {
  using Attrs = LayerNormAttrs;
  static constexpr OpInfo info{"layer_norm", "γ (x - μ) / √(σ² + ε) + β over the last axis"};  // Ba et al. 2016
  static Kept<NormStats> forward(const Attrs& attrs, const Tensor& x, const Tensor& gamma, const Tensor& beta, Site at);
  static Grads<3> vjp(const Attrs& attrs, Needs need, const Tensor& g, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                      const NormStats& stats);
  static Tensor reference(const Attrs& attrs, const Tensor& x, const Tensor& gamma, const Tensor& beta);
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

struct Geglu {
  static constexpr OpInfo info{"geglu", "a gelu(b), (a, b) = halves of the last axis"};
  static Tensor forward(const Tensor& h, Site at);
  static Tensor vjp(const Tensor& g, const Tensor& h);
  static Tensor reference(const Tensor& h) {
    const Index f = h.dim(-1) / 2;
    return slice(h, -1, 0, f) * gelu_erf(slice(h, -1, f, 2 * f));
  }
  static std::vector<Sample<NoAttrs>> samples();
  static std::vector<Bad> bad_samples();
};

}  // namespace sspo
