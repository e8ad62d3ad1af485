// Attention with memory linear in the number of tokens: scores are never stored (Dao et al. 2022).
//   Tensor o = attention(q, k, v);                     // q [B, N, H, D], k and v [B, M, H, D] -> [B, N, H, D]
// Heads lie inside the token: a [B, N, H*D] projection becomes [B, N, H, D] by a free reshape.
#pragma once
#include <optional>

#include "sspo/ops/softmax.hpp"

namespace sspo {

struct AttentionAttrs {
  bool causal = false;          // query i sees keys j <= i
  std::optional<double> scale = {};  // default 1/√D
};

// mask: added to the scores, [B or 1, H or 1, N or 1, M]; bool: false hides a key. A query that sees no key
// gives 0, and no gradient flows through it.
Tensor attention(Tensor q, Tensor k, Tensor v, Tensor mask = {}, AttentionAttrs attrs = {}, Site at = Site::current());

struct Attention {
  using Attrs = AttentionAttrs;
  struct Extra { Tensor log_sum_exp; };  // [B, H, N]
  static constexpr OpInfo info{"attention", "softmax(scale q kᵀ + mask) v, per head"};
  static Kept<Extra> forward(const Attrs& attrs, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, Site at);
  static Grads<4> vjp(const Attrs& attrs, Needs need, const Tensor& g, const Tensor& q, const Tensor& k, const Tensor& v,
                      const Tensor& mask, const Tensor& y, const Extra& extra);
  static Tensor reference(const Attrs& attrs, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask);
  static constexpr bool no_gradient(int input) { return input == 3; }  // the mask
  static constexpr bool rounds_inside = true;  // tensor cores and AMX take P in 16 bits, too
  static std::vector<Sample<Attrs>> samples();
  static std::vector<Bad> bad_samples();
};

}  // namespace sspo
