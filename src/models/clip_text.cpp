#include "sspo/models/clip_text.hpp"

#include "io/json.hpp"
#include "models/activation_name.hpp"

namespace sspo {

ClipTextConfig load_clip_text_config(const std::string& path) { return read_clip_text_config(io::File(path).text(16u << 20), {.path = path}); }

ClipTextConfig read_clip_text_config(std::string_view text, const io::Place& place) {
  const io::Json json = io::parse_json(text, place);
  io::Fields f(json, place);
  f.choice("model_type", {"clip_text_model"}, "clip_text_model");  // that of a whole CLIP has its text encoder's one field deeper
  if (f.boolean("use_attention_mask", false)) f.wrong("use_attention_mask", "unsupported", "false", "true");  // pipelines of diffusers heed it
  ClipTextConfig c;
  c.vocab_size = f.integer("vocab_size", 1, 1 << 24, c.vocab_size);
  c.hidden_size = f.integer("hidden_size", 1, 1 << 16, 512);  // absent fields have transformers' defaults
  c.intermediate_size = f.integer("intermediate_size", 1, 1 << 18, 2048);
  c.num_hidden_layers = f.integer("num_hidden_layers", 1, 1024, 12);
  c.num_attention_heads = f.integer("num_attention_heads", 1, 1 << 12, 8);
  c.max_position_embeddings = f.integer("max_position_embeddings", 1, 1 << 20, 77);
  c.hidden_act = activation_named(f, "hidden_act", "quick_gelu");
  c.layer_norm_eps = f.number("layer_norm_eps", 0, 1, 1e-5);
  c.eos_token_id = f.integer("eos_token_id", 0, (1 << 24) - 1, 49407);
  if (c.hidden_size % c.num_attention_heads)
    f.wrong("num_attention_heads", "the heads do not divide hidden_size", "a divisor of " + std::to_string(c.hidden_size), std::to_string(c.num_attention_heads));
  return c;
}

ClipLayer::ClipLayer(const Scope& p, const ClipTextConfig& c)
    : layer_norm1(p / "layer_norm1", c.hidden_size, {.eps = c.layer_norm_eps}),
      q_proj(p / "self_attn" / "q_proj", c.hidden_size, c.hidden_size),
      k_proj(p / "self_attn" / "k_proj", c.hidden_size, c.hidden_size),
      v_proj(p / "self_attn" / "v_proj", c.hidden_size, c.hidden_size),
      out_proj(p / "self_attn" / "out_proj", c.hidden_size, c.hidden_size),
      layer_norm2(p / "layer_norm2", c.hidden_size, {.eps = c.layer_norm_eps}),
      fc1(p / "mlp" / "fc1", c.hidden_size, c.intermediate_size),
      fc2(p / "mlp" / "fc2", c.intermediate_size, c.hidden_size),
      heads(c.num_attention_heads),
      act(c.hidden_act) {}

Tensor ClipLayer::operator()(const Tensor& x) const {
  const auto [B, N, D] = x.dims<3>();
  const auto split = [&, B = B, N = N, D = D](const Tensor& t) { return reshape(t, {B, N, heads, D / heads}); };
  const Tensor h = layer_norm1(x);
  const Tensor seen = attention(split(q_proj(h)), split(k_proj(h)), split(v_proj(h)), {}, {.causal = true});
  const Tensor y = out_proj(reshape(seen, {B, N, D}), x);
  return fc2(fc1(layer_norm2(y), act), y);
}

ClipText::ClipText(const Scope& root, const ClipTextConfig& c)
    : config_(c),
      token_embedding_(root / "text_model" / "embeddings" / "token_embedding", c.vocab_size, c.hidden_size),
      position_embedding_((root / "text_model" / "embeddings" / "position_embedding")
                              .param("weight", {c.max_position_embeddings, c.hidden_size}, init::normal(0.02))),
      final_layer_norm_(root / "text_model" / "final_layer_norm", c.hidden_size, {.eps = c.layer_norm_eps}) {
  for (Index i = 0; i < c.num_hidden_layers; ++i) layers_.emplace_back(root / "text_model" / "encoder" / "layers" / i, c);
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
