// A layer of CLIP's transformers (Radford et al. 2021): the text encoder's and the vision tower's are the same, but for the causal mask.
//   ClipLayer layer(p / "layers" / 0, {.hidden_size = 768, .intermediate_size = 3072, .num_attention_heads = 12, .causal = true});
#pragma once
#include "sspo/nn/layers.hpp"

namespace sspo {

struct ClipLayerConfig {
  Index hidden_size, intermediate_size, num_attention_heads;
  Activation hidden_act = Activation::quick_gelu;
  double layer_norm_eps = 1e-5;
  bool causal = false;  // token i sees tokens j <= i
};

// x + attention(norm(x)), then x + mlp(norm(x)). Parameters as transformers names them: layer_norm1, self_attn.q_proj, mlp.fc1, ...
struct ClipLayer {
  nn::LayerNorm layer_norm1;
  nn::Linear q_proj, k_proj, v_proj, out_proj;
  nn::LayerNorm layer_norm2;
  nn::Linear fc1, fc2;
  Index heads;
  Activation act;
  bool causal;
  ClipLayer(const Scope& p, const ClipLayerConfig& c);
  Tensor operator()(const Tensor& x) const;  // [B, N, D]
  // x [B, N, D] -> [B, D]: what becomes of the first token, which sees all others; theirs are not computed. Not for causal layers.
  Tensor first_token(const Tensor& x) const;

 private:
  Tensor run(const Tensor& x, const Tensor& h, const Tensor& queries) const;
};

}  // namespace sspo
