#include "sspo/models/clip_text.hpp"

namespace sspo {

ClipText::ClipText(const Scope& root, const ClipTextConfig& c)
    : config_(c),
      token_embedding_(root / "text_model" / "embeddings" / "token_embedding", c.vocab_size, c.hidden_size),
      position_embedding_((root / "text_model" / "embeddings" / "position_embedding")
                              .param("weight", {c.max_position_embeddings, c.hidden_size}, init::normal(0.02))),
      final_layer_norm_(root / "text_model" / "final_layer_norm", c.hidden_size, {.eps = c.layer_norm_eps}) {
  const ClipLayerConfig layer{.hidden_size = c.hidden_size, .intermediate_size = c.intermediate_size, .num_attention_heads = c.num_attention_heads,
                              .hidden_act = c.hidden_act, .layer_norm_eps = c.layer_norm_eps, .causal = true};
  for (Index i = 0; i < c.num_hidden_layers; ++i) layers_.emplace_back(root / "text_model" / "encoder" / "layers" / i, layer);
}

ClipText::Output ClipText::operator()(const Tensor& ids, Site at) const {
  const auto [B, N] = ids.dims<2>(at);
  if (ids.dtype() != DType::i64 && ids.dtype() != DType::i32)
    fail({.op = "clip text", .what = "the ids are no whole numbers", .expected = "[B, N] i32 or i64", .got = ids.str()}, at);
  if (N < 1 || N > config_.max_position_embeddings)
    fail({.op = "clip text", .what = "the number of tokens does not fit", .expected = "1 to " + std::to_string(config_.max_position_embeddings),
          .got = ids.str(), .hint = "truncate the ids, keeping start and end token"}, at);
  const Tensor wide = cast(ids, DType::i64);
  Tensor x = token_embedding_(wide, at) + slice(position_embedding_, 0, 0, N);  // [B, N, D]
  for (const ClipLayer& layer : layers_) x = layer(x);
  x = final_layer_norm_(x);

  // The first place of the end token; where there is none, the first of all, as in transformers.
  const Tensor marks = config_.eos_token_id == 2 ? wide : cast(equal(wide, full({}, double(config_.eos_token_id), DType::i64, wide.device())), DType::i64);
  const Tensor place = argmax(marks, -1);                                       // [B]
  const Tensor row = arange(B, 0, double(N), DType::i64, x.device()) + place;   // of [B N, D]
  return {.last_hidden_state = x, .pooled = index_select(reshape(x, {B * N, config_.hidden_size}), row, 0)};
}

}  // namespace sspo
