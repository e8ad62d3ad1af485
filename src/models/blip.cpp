#include "sspo/models/blip.hpp"

#include <algorithm>
#include <cmath>

#include "io/json.hpp"
#include "models/activation_name.hpp"

namespace sspo {
namespace {

Tensor split(const Tensor& x, Index heads) { return reshape(x, {x.dim(0), x.dim(1), heads, x.dim(2) / heads}); }

constexpr Index mlp_widths[] = {1024, 128, 64, 16, 1};
constexpr Index mlp_places[] = {0, 2, 4, 6, 7};  // among layers.N, where dropouts have numbers, too

}  // namespace

BertConfig load_bert_config(const std::string& path) { return read_bert_config(io::File(path).text(16u << 20), {.path = path}); }

BertConfig read_bert_config(std::string_view text, const io::Place& place) {
  const io::Json json = io::parse_json(text, place);
  io::Fields f(json, place);
  f.choice("model_type", {"bert"}, "bert");
  f.choice("position_embedding_type", {"absolute"}, "absolute");
  if (!f.boolean("add_cross_attention")) f.wrong("add_cross_attention", "no text encoder of BLIP", "true", "false");
  BertConfig c;
  c.vocab_size = f.integer("vocab_size", 1, 1 << 24);
  c.hidden_size = f.integer("hidden_size", 1, 1 << 16);
  c.intermediate_size = f.integer("intermediate_size", 1, 1 << 18);
  c.num_hidden_layers = f.integer("num_hidden_layers", 1, 1024);
  c.num_attention_heads = f.integer("num_attention_heads", 1, 1 << 12);
  c.max_position_embeddings = f.integer("max_position_embeddings", 1, 1 << 20);
  c.hidden_act = activation_named(f, "hidden_act", "gelu");
  c.layer_norm_eps = f.number("layer_norm_eps", 0, 1, c.layer_norm_eps);
  if (c.hidden_size % c.num_attention_heads)
    f.wrong("num_attention_heads", "the heads do not divide hidden_size", "a divisor of " + std::to_string(c.hidden_size), std::to_string(c.num_attention_heads));
  return c;
}

VitBlock::VitBlock(const Scope& p, const VitConfig& c)
    : norm1(p / "norm1", c.hidden_size, {.eps = c.layer_norm_eps}),
      qkv(p / "attn" / "qkv", c.hidden_size, 3 * c.hidden_size),
      proj(p / "attn" / "proj", c.hidden_size, c.hidden_size),
      norm2(p / "norm2", c.hidden_size, {.eps = c.layer_norm_eps}),
      fc1(p / "mlp" / "fc1", c.hidden_size, c.intermediate_size),
      fc2(p / "mlp" / "fc2", c.intermediate_size, c.hidden_size),
      heads(c.num_attention_heads) {}

Tensor VitBlock::operator()(const Tensor& x) const {
  const Index B = x.dim(0), N = x.dim(1), D = x.dim(2);
  const Tensor all = qkv(norm1(x));                                           // [B, N, 3 D]: queries, keys, values
  const auto part = [&](Index i) { return split(slice(all, 2, i * D, (i + 1) * D), heads); };
  const Tensor y = proj(reshape(attention(part(0), part(1), part(2)), {B, N, D}), x);
  return fc2(fc1(norm2(y), Activation::gelu_erf), y);
}

Vit::Vit(const Scope& p, const VitConfig& c)
    : config_(c),
      cls_token_(p.param("cls_token", {1, 1, c.hidden_size}, init::normal(0.02))),
      pos_embed_(p.param("pos_embed", {1, 1 + (c.image_size / c.patch_size) * (c.image_size / c.patch_size), c.hidden_size}, init::normal(0.02))),
      patches_(p / "patch_embed" / "proj", 3, c.hidden_size, {.kernel = c.patch_size, .stride = {c.patch_size, c.patch_size}}),
      norm_(p / "norm", c.hidden_size, {.eps = c.layer_norm_eps}) {
  for (Index i = 0; i < c.num_hidden_layers; ++i) blocks_.emplace_back(p / "blocks" / i, c);
}

Tensor Vit::operator()(const Tensor& pictures, Site at) const {
  if (const Index side = config_.image_size; pictures.rank() != 4 || pictures.shape() != Shape{pictures.dim(0), side, side, 3})
    fail({.op = "vision transformer", .what = "pictures of another size", .expected = "[B, " + std::to_string(side) + ", " + std::to_string(side) + ", 3]", .got = pictures.str()}, at);
  const Index B = pictures.dim(0), D = config_.hidden_size;
  const Tensor places = reshape(patches_(pictures, at), {B, -1, D});          // [B, patches, D], row by row
  Tensor x = cat({expand(cls_token_, {B, 1, D}), places}, 1) + pos_embed_;
  for (const VitBlock& block : blocks_) x = block(x);
  return norm_(x);
}

BertAttention::BertAttention(const Scope& p, const BertConfig& c, Index seen_width)
    : query(p / "self" / "query", c.hidden_size, c.hidden_size),
      key(p / "self" / "key", seen_width, c.hidden_size),
      value(p / "self" / "value", seen_width, c.hidden_size),
      dense(p / "output" / "dense", c.hidden_size, c.hidden_size),
      norm(p / "output" / "LayerNorm", c.hidden_size, {.eps = c.layer_norm_eps}),
      heads(c.num_attention_heads) {}

Tensor BertAttention::operator()(const Tensor& x, const Tensor& seen, const Tensor& mask) const {
  const Tensor y = attention(split(query(x), heads), split(key(seen), heads), split(value(seen), heads), mask);
  return norm(dense(reshape(y, x.shape()), x));
}

BertLayer::BertLayer(const Scope& p, const BertConfig& c)
    : attention(p / "attention", c, c.hidden_size),
      crossattention(p / "crossattention", c, c.encoder_width),
      intermediate(p / "intermediate" / "dense", c.hidden_size, c.intermediate_size),
      output(p / "output" / "dense", c.intermediate_size, c.hidden_size),
      norm(p / "output" / "LayerNorm", c.hidden_size, {.eps = c.layer_norm_eps}),
      act(c.hidden_act) {}

Tensor BertLayer::operator()(const Tensor& x, const Tensor& mask, const Tensor& picture) const {
  const Tensor y = crossattention(attention(x, x, mask), picture, {});
  return norm(output(intermediate(y, act), y));
}

BertTokens bert_tokens(const WordPiece& tokenizer, std::span<const std::string> prompts, Index length, const Device& device) {
  const Index n = Index(prompts.size());
  std::vector<std::int32_t> ids;
  std::vector<bool> present;
  for (const std::string& prompt : prompts) {
    const std::vector<std::int32_t> own = tokenizer.encode(prompt, std::size_t(length));
    ids.insert(ids.end(), own.begin(), own.end());
    present.resize(ids.size(), true);
    ids.resize(ids.size() + std::size_t(length) - own.size(), tokenizer.pad());
    present.resize(ids.size(), false);
  }
  return {Tensor::from(ids, {n, length}, device), Tensor::from(present, {n, 1, 1, length}, device)};
}

BlipText::BlipText(const Scope& p, const BertConfig& c)
    : config_(c),
      word_embeddings_(p / "embeddings" / "word_embeddings", c.vocab_size, c.hidden_size),
      position_embeddings_((p / "embeddings" / "position_embeddings").param("weight", {c.max_position_embeddings, c.hidden_size}, init::normal(0.02))),
      norm_(p / "embeddings" / "LayerNorm", c.hidden_size, {.eps = c.layer_norm_eps}) {
  for (Index i = 0; i < c.num_hidden_layers; ++i) layers_.emplace_back(p / "encoder" / "layer" / i, c);
}

Tensor BlipText::operator()(const BertTokens& tokens, const Tensor& picture, Site at) const {
  const auto [B, N] = tokens.ids.dims<2>(at);
  if (N < 1 || N > config_.max_position_embeddings)
    fail({.op = "blip text", .what = "the number of tokens does not fit", .expected = "1 to " + std::to_string(config_.max_position_embeddings), .got = tokens.ids.str()}, at);
  if (picture.rank() != 3 || picture.dim(0) != B || picture.dim(2) != config_.encoder_width)
    fail({.op = "blip text", .what = "no states of a picture for each text", .expected = "[" + std::to_string(B) + ", M, " + std::to_string(config_.encoder_width) + "]", .got = picture.str()}, at);
  Tensor x = norm_(word_embeddings_(tokens.ids, at) + slice(position_embeddings_, 0, 0, N));   // [B, N, D]
  for (const BertLayer& layer : layers_) x = layer(x, tokens.present, picture);
  return x;
}

ImageReward::ImageReward(const Scope& blip, const Scope& mlp, const ImageRewardConfig& c) : vision_(blip / "visual_encoder", c.vision), text_(blip / "text_encoder", c.text) {
  Index in = c.text.hidden_size;
  for (std::size_t i = 0; i < std::size(mlp_widths); ++i) {
    mlp_.emplace_back(mlp / "layers" / mlp_places[i], in, mlp_widths[i]);
    in = mlp_widths[i];
  }
}

Tensor ImageReward::operator()(const Tensor& pictures, const BertTokens& tokens, Site at) const {
  const Tensor states = text_(tokens, vision_(pictures, at), at);            // [B, N, D]
  Tensor h = cast(reshape(slice(states, 1, 0, 1), {states.dim(0), -1}), Tensor(mlp_[0].weight).dtype());
  for (const nn::Linear& layer : mlp_) h = layer(h);                         // no activation between, as published
  return reshape(h, {-1});
}

VitConfig vit_config_of(const io::Weights& weights, const std::string& prefix, const std::string& path) {
  const auto shape = [&](const std::string& name, std::size_t rank) {
    const io::StoredTensor* t = weights.find(prefix + name);
    if (!t || t->shape.size() != rank || std::any_of(t->shape.begin(), t->shape.end(), [](std::uint64_t n) { return n < 1 || n > (1u << 20); }))
      io::bad_file({.path = path, .field = prefix + name}, t ? "no such part of a vision transformer" : "no vision transformer: the tensor is missing", std::to_string(rank) + " axes", t ? t->str() : "",
                   "ImageReward.pt of ImageReward-v1.0");
    return t->shape;
  };
  const auto proj = shape("patch_embed.proj.weight", 4), places = shape("pos_embed", 3);
  VitConfig c;
  c.hidden_size = Index(proj[0]), c.patch_size = Index(proj[2]);
  const Index side = Index(std::llround(std::sqrt(double(places[1] - 1))));
  if (side < 1 || side * side + 1 != Index(places[1]))
    io::bad_file({.path = path, .field = prefix + "pos_embed"}, "the patches form no square", "one more than a square", std::to_string(places[1]));
  c.image_size = side * c.patch_size;
  c.intermediate_size = Index(shape("blocks.0.mlp.fc1.weight", 2)[0]);
  c.num_hidden_layers = 0;
  while (weights.has(prefix + "blocks." + std::to_string(c.num_hidden_layers) + ".norm1.weight")) ++c.num_hidden_layers;
  c.num_attention_heads = c.hidden_size / 64;
  if (c.hidden_size % 64) io::bad_file({.path = path, .field = prefix + "patch_embed.proj.weight"}, "a width without heads of 64 channels", "a multiple of 64", std::to_string(c.hidden_size));
  return c;
}

}  // namespace sspo
