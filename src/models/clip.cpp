#include "sspo/models/clip.hpp"

namespace sspo {
namespace {

ClipLayerConfig layer_of(const ClipVisionConfig& c) {
  return {.hidden_size = c.hidden_size, .intermediate_size = c.intermediate_size, .num_attention_heads = c.num_attention_heads, .hidden_act = c.hidden_act,
          .layer_norm_eps = c.layer_norm_eps};
}

std::uint64_t bytes_of(const Params& params) {
  std::uint64_t bytes = 0;
  for (const Param& p : params) bytes += std::uint64_t(p.shape().numel()) * size_of(p.value().dtype());
  return bytes;
}

}  // namespace

ClipVision::ClipVision(const Scope& root, const ClipVisionConfig& c)
    : config_(c),
      class_embedding_((root / "vision_model" / "embeddings").param("class_embedding", {c.hidden_size}, init::normal(0.02))),
      patch_embedding_(root / "vision_model" / "embeddings" / "patch_embedding", c.num_channels, c.hidden_size,
                       {.kernel = c.patch_size, .stride = {c.patch_size, c.patch_size}, .bias = false}),
      position_embedding_((root / "vision_model" / "embeddings" / "position_embedding").param("weight", {c.tokens(), c.hidden_size}, init::normal(0.02))),
      pre_norm_(root / "vision_model" / "pre_layrnorm", c.hidden_size, {.eps = c.layer_norm_eps}),
      post_norm_(root / "vision_model" / "post_layernorm", c.hidden_size, {.eps = c.layer_norm_eps}),
      projection_(root / "visual_projection", c.hidden_size, c.projection_dim, {.bias = false}) {
  for (Index i = 0; i < c.num_hidden_layers; ++i) layers_.emplace_back(root / "vision_model" / "encoder" / "layers" / i, layer_of(c));
}

// Patches and the class token before them, [B, N, D].
Tensor ClipVision::tokens_of(const Tensor& pixels, Site at) const {
  const auto [B, H, W, C] = pixels.dims<4>(at);
  const Index side = config_.image_size, D = config_.hidden_size, N = config_.tokens();
  if (H != side || W != side || C != config_.num_channels)
    fail({.op = "clip vision", .what = "the pictures do not fit", .expected = "[B, " + std::to_string(side) + ", " + std::to_string(side) + ", " + std::to_string(config_.num_channels) + "]",
          .got = pixels.str(), .hint = "scale and crop them first"}, at);
  const Tensor patches = reshape(patch_embedding_(pixels, at), {B, N - 1, D});
  return pre_norm_(cat({expand(reshape(class_embedding_, {1, 1, D}), {B, 1, D}), patches}, 1) + Tensor(position_embedding_));
}

ClipVision::Output ClipVision::operator()(const Tensor& pixels, Site at) const {
  Tensor x = tokens_of(pixels, at);
  for (const ClipLayer& layer : layers_) x = layer(x);
  const Tensor first = reshape(slice(x, 1, 0, 1), {x.dim(0), config_.hidden_size});  // the class token has seen all patches
  return {.embeds = projection_(post_norm_(first)), .last_hidden_state = x};
}

Tensor ClipVision::embed(const Tensor& pixels, Site at) const {
  Tensor x = tokens_of(pixels, at);
  for (std::size_t i = 0; i + 1 < layers_.size(); ++i) x = layers_[i](x);
  return projection_(post_norm_(layers_.back().first_token(x)));
}

ClipTextTower::ClipTextTower(const Scope& root, const ClipTextConfig& c)
    : text_(root, c), projection_(root / "text_projection", c.hidden_size, c.projection_dim, {.bias = false}) {}

ClipTextTower::Output ClipTextTower::operator()(const Tensor& ids, Site at) const {
  const ClipText::Output y = text_(ids, at);
  return {.embeds = projection_(y.pooled), .last_hidden_state = y.last_hidden_state};
}

Clip load_clip(const ClipSource& source, const LoadOptions& options) {
  if (!source.logit_scale) io::bad_file({.path = source.path, .field = "logit_scale"}, "is missing", "a whole CLIP");
  Params vision = load_clip_vision(source, options), text = load_clip_text(source, options);
  return {ClipVision(vision.frozen(), *source.config.vision), ClipTextTower(text.frozen(), *source.config.text), *source.logit_scale, bytes_of(vision) + bytes_of(text)};
}

}  // namespace sspo
