// What config.json says of a CLIP: whole ("clip"), or one tower alone.
#include "io/json.hpp"
#include "models/activation_name.hpp"
#include "sspo/models/clip.hpp"

namespace sspo {
namespace {

constexpr std::uint64_t most_bytes = 16u << 20;

// What both towers have; absent fields have transformers' defaults, which differ.
template <class Config>
void read_transformer(io::Fields& f, Config& c, Index width, Index inner, Index heads) {
  c.hidden_size = f.integer("hidden_size", 1, 1 << 16, width);
  c.intermediate_size = f.integer("intermediate_size", 1, 1 << 18, inner);
  c.num_hidden_layers = f.integer("num_hidden_layers", 1, 1024, 12);
  c.num_attention_heads = f.integer("num_attention_heads", 1, 1 << 12, heads);
  c.projection_dim = f.integer("projection_dim", 1, 1 << 16, 512);
  c.hidden_act = activation_named(f, "hidden_act", "quick_gelu");
  c.layer_norm_eps = f.number("layer_norm_eps", 0, 1, 1e-5);
  if (c.hidden_size % c.num_attention_heads)
    f.wrong("num_attention_heads", "the heads do not divide hidden_size", "a divisor of " + std::to_string(c.hidden_size), std::to_string(c.num_attention_heads));
}

ClipTextConfig text_config(const io::Json& json, const io::Place& place) {
  io::Fields f(json, place);
  f.choice("model_type", {"clip_text_model"}, "clip_text_model");  // that of a whole CLIP has its text encoder's one field deeper
  if (f.boolean("use_attention_mask", false)) f.wrong("use_attention_mask", "unsupported", "false", "true");  // pipelines of diffusers heed it
  ClipTextConfig c;
  read_transformer(f, c, 512, 2048, 8);
  c.vocab_size = f.integer("vocab_size", 1, 1 << 24, c.vocab_size);
  c.max_position_embeddings = f.integer("max_position_embeddings", 1, 1 << 20, 77);
  c.eos_token_id = f.integer("eos_token_id", 0, (1 << 24) - 1, 49407);
  return c;
}

ClipVisionConfig vision_config(const io::Json& json, const io::Place& place) {
  io::Fields f(json, place);
  f.choice("model_type", {"clip_vision_model"}, "clip_vision_model");
  ClipVisionConfig c;
  read_transformer(f, c, 768, 3072, 12);
  c.num_channels = f.integer("num_channels", 1, 1 << 12, 3);
  c.image_size = f.integer("image_size", 1, 1 << 14, 224);
  c.patch_size = f.integer("patch_size", 1, 1 << 14, 32);
  if (c.patch_size > c.image_size) f.wrong("patch_size", "a patch is larger than the picture", "at most " + std::to_string(c.image_size), std::to_string(c.patch_size));
  return c;
}

// Of a whole CLIP's config: configs of 2022 have the towers' under text_config_dict, too, and that one counts.
template <class Read>
auto tower(io::Fields& f, const std::string& name, const io::Place& place, Read read) {
  static const io::Json none = io::Json::object();
  const std::string older = name + "_dict";
  if (const io::Json* json = f.raw(older)) return read(*json, place.in(older));
  const io::Json* json = f.raw(name);
  return read(json ? *json : none, place.in(name));
}

}  // namespace

ClipTextConfig load_clip_text_config(const std::string& path) { return read_clip_text_config(io::File(path).text(most_bytes), {.path = path}); }
ClipTextConfig read_clip_text_config(std::string_view text, const io::Place& place) { return text_config(io::parse_json(text, place), place); }

ClipConfig load_clip_config(const std::string& path) { return read_clip_config(io::File(path).text(most_bytes), {.path = path}); }

ClipConfig read_clip_config(std::string_view text, const io::Place& place) {
  const io::Json json = io::parse_json(text, place);
  io::Fields f(json, place);
  const std::string type = f.choice("model_type", {"clip", "clip_text_model", "clip_vision_model"}, json.contains("vision_config") ? "clip" : "clip_text_model");
  if (type == "clip_text_model") return {.vision = {}, .text = text_config(json, place)};
  if (type == "clip_vision_model") return {.vision = vision_config(json, place), .text = {}};
  ClipConfig c{.vision = tower(f, "vision_config", place, vision_config), .text = tower(f, "text_config", place, text_config)};
  c.vision->projection_dim = c.text->projection_dim = f.integer("projection_dim", 1, 1 << 16, 512);  // one space, whatever the towers say
  return c;
}

}  // namespace sspo
