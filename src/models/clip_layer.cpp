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

Tensor ClipLayer::operator()(const Tensor& x) const {
  const auto [B, N, D] = x.dims<3>();
  const auto split = [&, B = B, N = N, D = D](const Tensor& t) { return reshape(t, {B, N, heads, D / heads}); };
  const Tensor h = layer_norm1(x);
  const Tensor seen = attention(split(q_proj(h)), split(k_proj(h)), split(v_proj(h)), {}, {.causal = causal});
  const Tensor y = out_proj(reshape(seen, {B, N, D}), x);
  return fc2(fc1(layer_norm2(y), act), y);
}

}  // namespace sspo
