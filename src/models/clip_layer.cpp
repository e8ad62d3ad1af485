#include "sspo/models/clip_layer.hpp"

namespace sspo {

ClipLayer::ClipLayer(const Scope& p, const ClipLayerConfig& c)
    : layer_norm1(p / "layer_norm1", c.hidden_size, {.eps = c.layer_norm_eps}),
      q_proj(p / "self_attn" / "q_proj", c.hidden_size, c.hidden_size),
      k_proj(p / "self_attn" / "k_proj", c.hidden_size, c.hidden_size),
      v_proj(p / "self_attn" / "v_proj", c.hidden_size, c.hidden_size),
      out_proj(p / "self_attn" / "out_proj", c.hidden_size, c.hidden_size),
      layer_norm2(p / "layer_norm2", c.hidden_size, {.eps = c.layer_norm_eps}),
      fc1(p / "mlp" / "fc1", c.hidden_size, c.intermediate_size),
      fc2(p / "mlp" / "fc2", c.intermediate_size, c.hidden_size),
      heads(c.num_attention_heads),
      act(c.hidden_act),
      causal(c.causal) {}

// h [B, N, D] is what keys and values are of; `queries` are those rows of it that ask, x the same rows before the norm.
Tensor ClipLayer::run(const Tensor& x, const Tensor& h, const Tensor& queries) const {
  const auto split = [&](const Tensor& t) { return reshape(t, {t.dim(0), t.dim(1), heads, t.dim(2) / heads}); };
  const Tensor seen = attention(split(q_proj(queries)), split(k_proj(h)), split(v_proj(h)), {}, {.causal = causal});
  const Tensor y = out_proj(reshape(seen, queries.shape()), x);
  return fc2(fc1(layer_norm2(y), act), y);
}

Tensor ClipLayer::operator()(const Tensor& x) const {
  const Tensor h = layer_norm1(x);
  return run(x, h, h);
}

Tensor ClipLayer::first_token(const Tensor& x) const {
  const auto first = [](const Tensor& t) { return contiguous(slice(t, 1, 0, 1)); };  // [B, 1, D]
  const Tensor h = layer_norm1(x), y = run(first(x), h, first(h));
  return reshape(y, {x.dim(0), x.dim(2)});
}

}  // namespace sspo
