// The text encoder of Stable Diffusion: CLIP's causal transformer (Radford et al. 2021), as transformers' CLIPTextModel.
//   ClipText text(params, load_clip_text_config("text_encoder/config.json"));
//   Tensor states = text(ids).last_hidden_state;       // ids [B, N] i32 or i64 -> [B, N, D]
#pragma once
#include "sspo/io/file.hpp"
#include "sspo/models/clip_layer.hpp"

namespace sspo {

struct ClipTextConfig {
  Index vocab_size = 49408, hidden_size = 768, intermediate_size = 3072;
  Index num_hidden_layers = 12, num_attention_heads = 12, max_position_embeddings = 77;
  Activation hidden_act = Activation::quick_gelu;
  double layer_norm_eps = 1e-5;
  Index eos_token_id = 49407;  // 2: configs written before the id was right; pooling takes the largest id then
  Index projection_dim = 512;  // of the space that texts and pictures share: clip.hpp's. The text encoder alone has no projection
};
ClipTextConfig load_clip_text_config(const std::string& path);  // throws Error{file} naming the field
ClipTextConfig read_clip_text_config(std::string_view json, const io::Place& place);

class ClipText {
 public:
  using Config = ClipTextConfig;
  // Parameters as the checkpoints name them: text_model.embeddings.token_embedding.weight, ...
  ClipText(const Scope& p, const ClipTextConfig& config);

  struct Output {
    Tensor last_hidden_state;  // [B, N, D], after the final norm
    Tensor pooled;             // [B, D]: the state at the first end token
  };
  Output operator()(const Tensor& ids, Site at = Site::current()) const;
  const ClipTextConfig& config() const { return config_; }
  Device device() const { return position_embedding_.value().device(); }

 private:
  ClipTextConfig config_;
  nn::Embedding token_embedding_;
  Param position_embedding_;  // [max_position_embeddings, D]
  std::vector<ClipLayer> layers_;
  nn::LayerNorm final_layer_norm_;
};

}  // namespace sspo
