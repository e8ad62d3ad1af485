#include "sspo/eval/judge.hpp"

#include <cmath>

#include "io/json.hpp"
#include "sspo/models/stable_diffusion.hpp"
#include "sspo/ops/loss.hpp"

namespace sspo {
namespace {

Tensor unit(const Tensor& x) { return x / (norm(x, {-1}, true) + 1e-6); }

Index side_after(Index side, std::size_t convs, std::size_t first) {  // those of an index first, first + 2, ... halve it
  for (std::size_t i = first; i < convs; i += 2) side = (side + 1) / 2;
  return side;
}

Index flat(const JudgeConfig& c) {  // what the picture's trunk leaves
  const Index side = side_after(c.size, c.picture_channels.size(), 1);
  return side * side * c.picture_channels.back();
}

}  // namespace

JudgeConfig load_judge_config(const std::string& path) { return read_judge_config(io::File(path).text(16u << 20), {.path = path}); }

JudgeConfig read_judge_config(std::string_view text, const io::Place& place) {
  const io::Json json = io::parse_json(text, place);
  io::Fields f(json, place);
  JudgeConfig c;
  c.styles = f.texts("styles");
  c.size = f.integer("size", 8, 4096, c.size);
  c.vocab_size = f.integer("vocab_size", 1, 1 << 24, c.vocab_size);
  c.max_tokens = f.integer("max_tokens", 3, 4096, c.max_tokens);
  c.style_channels = f.integers("style_channels", 8, 4096, c.style_channels);
  c.picture_channels = f.integers("picture_channels", 8, 4096, c.picture_channels);
  c.features = f.integer("features", 1, 1 << 16, c.features);
  c.embedding = f.integer("embedding", 1, 1 << 16, c.embedding);
  c.token_width = f.integer("token_width", 1, 1 << 16, c.token_width);
  if (c.styles.size() < 2) f.wrong("styles", "too few", "two or more", std::to_string(c.styles.size()));
  for (const auto& [name, channels] : {std::pair<const char*, const std::vector<Index>&>{"style_channels", c.style_channels}, {"picture_channels", c.picture_channels}}) {
    if (channels.empty() || channels.size() > 32) f.wrong(name, "no stack of convolutions", "1 to 32", std::to_string(channels.size()));
    for (const Index n : channels)
      if (n % 8) f.wrong(name, "does not fall into groups", "multiples of 8", std::to_string(n));
  }
  return c;
}

JudgeConv::JudgeConv(const Scope& p, Index in, Index out, Index stride)
    : conv(p / "conv", in, out, {.kernel = 3, .stride = {stride, stride}, .padding = {1, 1, 1, 1}}), norm(p / "norm", out, {.groups = 8, .silu = true}) {}

Judge::Judge(const Scope& p, const JudgeConfig& c)
    : config_(c),
      style_mix_(p / "style" / "mix", c.style_channels.back(), c.style_channels.back()),
      style_hidden_(p / "style" / "hidden", 2 * c.style_channels.back(), c.style_channels.back()),
      style_out_(p / "style" / "out", c.style_channels.back(), Index(c.styles.size())),
      picture_features_(p / "picture" / "features", flat(c), c.features),
      picture_out_(p / "picture" / "out", c.features, c.embedding),
      tokens_(p / "text" / "tokens", c.vocab_size, c.token_width),
      text_hidden_(p / "text" / "hidden", c.token_width, c.token_width),
      text_out_(p / "text" / "out", c.token_width, c.embedding),
      log_scale_((p / "text").param("log_scale", {}, init::constant(std::log(10.0)))) {
  for (std::size_t i = 0; i < c.style_channels.size(); ++i)
    style_.emplace_back(p / "style" / "convs" / Index(i), i ? c.style_channels[i - 1] : 3, c.style_channels[i], i % 2 ? 1 : 2);
  for (std::size_t i = 0; i < c.picture_channels.size(); ++i)
    picture_.emplace_back(p / "picture" / "convs" / Index(i), i ? c.picture_channels[i - 1] : 3, c.picture_channels[i], i % 2 ? 2 : 1);
}

Tensor Judge::style(const Tensor& pictures) const {
  Tensor h = pictures;                                                        // [B, H, W, 3]
  for (const JudgeConv& conv : style_) h = conv(h);
  h = style_mix_(h, Activation::silu);                                        // [B, h, w, C]: a 1x1 convolution
  const Tensor pooled = cat({mean(h, {1, 2}), max(h, {1, 2})}, -1);           // [B, 2 C]
  return style_out_(style_hidden_(pooled, Activation::silu));                 // [B, styles]
}

Tensor Judge::features(const Tensor& pictures) const {
  Tensor h = pictures;                                                        // [B, H, W, 3]
  for (const JudgeConv& conv : picture_) h = conv(h);
  return picture_features_(reshape(h, {h.dim(0), -1}));                       // [B, features]
}

Tensor Judge::embed(const Tensor& features) const { return unit(picture_out_(silu(features))); }

Tensor Judge::text(const CaptionTokens& captions) const {
  const Tensor shares = reshape(captions.shares, {captions.shares.dim(0), -1, 1});
  const Tensor bag = sum(tokens_(captions.ids) * shares, {1});                // [B, token_width]
  return unit(text_out_(text_hidden_(bag, Activation::silu)));
}

Tensor Judge::scale() const { return exp(log_scale_); }

CaptionTokens caption_tokens(const ClipTokenizer& tokenizer, std::span<const std::string> captions, Index max_tokens, const Device& device) {
  const Index n = Index(captions.size());
  std::vector<std::int32_t> ids;
  std::vector<float> shares(std::size_t(n * max_tokens));
  for (Index i = 0; i < n; ++i) {
    const std::vector<std::int32_t> padded = tokenizer.padded(captions[std::size_t(i)], int(max_tokens));
    ids.insert(ids.end(), padded.begin(), padded.end());
    const Index words = std::min(Index(tokenizer.encode(captions[std::size_t(i)]).size()), max_tokens) - 2;  // without start and end
    for (Index w = 1; w <= words; ++w) shares[std::size_t(i * max_tokens + w)] = 1 / float(words);
  }
  return {Tensor::from(ids, {n, max_tokens}, device), Tensor::from(shares, {n, max_tokens}, device)};
}

Tensor contrast(const Tensor& a, const Tensor& b, const Tensor& scale, std::span<const Index> groups, Site at) {
  const Index n = a.dim(0);
  if (b.shape() != a.shape() || Index(groups.size()) != n)
    fail({.op = "contrast", .what = "pictures and captions do not match", .expected = a.shape().str() + " and as many groups", .got = b.str() + ", " + std::to_string(groups.size()) + " groups"}, at);
  std::vector<float> kin(std::size_t(n * n));
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < n; ++j)
      if (i != j && groups[std::size_t(i)] == groups[std::size_t(j)]) kin[std::size_t(i * n + j)] = -1e4f;  // out of the softmax
  const Tensor logits = matmul(a, transpose(b)) * scale + Tensor::from(kin, {n, n}, a.device());
  const Tensor own = arange(n, 0, 1, DType::i64, a.device());
  return 0.5 * (cross_entropy(logits, own) + cross_entropy(transpose(logits), own));
}

std::vector<Index> ranks(const Tensor& similarities, std::span<const Index> answers, Site at) {
  const auto [n, m] = similarities.dims<2>(at);
  if (Index(answers.size()) != n) fail({.op = "ranks", .what = "an answer for each row", .expected = std::to_string(n), .got = std::to_string(answers.size())}, at);
  const std::vector<double> values = cast(contiguous(detach(similarities)), DType::f64).to_vector<double>();
  std::vector<Index> ranks;
  for (Index i = 0; i < n; ++i) {
    const double* row = values.data() + i * m;
    Index above = 0;
    for (Index j = 0; j < m; ++j) above += row[j] > row[answers[std::size_t(i)]];
    ranks.push_back(above);
  }
  return ranks;
}

Tensor LoadedJudge::captions(std::span<const std::string> texts) const {
  Tensors parts;
  for (std::size_t i = 0; i < texts.size(); i += 256)
    parts.push_back(net.text(caption_tokens(tokenizer, texts.subspan(i, std::min<std::size_t>(256, texts.size() - i)), net.config().max_tokens, net.scale().device())));
  return cat(parts, 0);
}

Index LoadedJudge::style_named(std::string_view style, Site at) const {
  std::string all;
  for (std::size_t i = 0; i < net.config().styles.size(); ++i) {
    if (net.config().styles[i] == style) return Index(i);
    all += (i ? ", " : "") + net.config().styles[i];
  }
  fail({.op = "judge", .what = "a style that it was not trained on", .expected = "one of " + all, .got = std::string(style)}, at);
}

LoadedJudge load_judge(const std::string& dir, const Device& device) {
  const std::string folder = component_folder(dir, "judge");
  const JudgeConfig config = load_judge_config(folder + "/config.json");
  const ClipTokenizer tokenizer = ClipTokenizer::open(dir + "/tokenizer");
  if (tokenizer.size() > config.vocab_size)
    io::bad_file({.path = folder + "/config.json", .field = "vocab_size"}, "the tokenizer has more", std::to_string(config.vocab_size), std::to_string(tokenizer.size()));
  return {load_component<Judge>(folder, config, {}, {.device = device}), tokenizer, weights_hash(folder)};
}

}  // namespace sspo
