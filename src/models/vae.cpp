#include "sspo/models/vae.hpp"

#include "io/json.hpp"

namespace sspo {
namespace {

constexpr double norm_eps = 1e-6;

ResnetBlock2D::Options resnet_options(const VaeConfig& c) { return {.groups = c.norm_num_groups, .eps = norm_eps}; }

Tensor run(const VaeBlock& block, Tensor h) {
  for (const ResnetBlock2D& resnet : block.resnets) h = resnet(std::move(h));
  if (block.downsample) h = (*block.downsample)(h);
  if (block.upsample) {
    const Index height = 2 * h.dim(1), width = 2 * h.dim(2);
    h = (*block.upsample)(std::move(h), height, width);
  }
  return h;
}

VaeBlock make_block(const Scope& p, Index in, Index out, Index layers, const VaeConfig& c) {
  VaeBlock block;
  for (Index i = 0; i < layers; ++i) block.resnets.emplace_back(p / "resnets" / i, i == 0 ? in : out, out, resnet_options(c));
  return block;
}

void want_channels(const char* op, const Tensor& x, Index channels, Site at) {
  if (x.rank() != 4 || x.dim(3) != channels)
    fail({.op = op, .what = "the input does not fit the config", .expected = "[B, H, W, " + std::to_string(channels) + "]", .got = x.str()}, at);
}

}  // namespace

VaeConfig load_vae_config(const std::string& path) { return read_vae_config(io::File(path).text(16u << 20), {.path = path}); }

VaeConfig read_vae_config(std::string_view text, const io::Place& place) {
  const io::Json json = io::parse_json(text, place);
  io::Fields f(json, place);
  f.choice("_class_name", {"AutoencoderKL"}, "AutoencoderKL");
  f.choice("act_fn", {"silu", "swish"}, "silu");
  for (const char* name : {"latents_mean", "latents_std"})
    if (f.raw(name)) f.wrong(name, "unsupported", "null");
  VaeConfig c;
  c.in_channels = f.integer("in_channels", 1, 1 << 16, 3);
  c.out_channels = f.integer("out_channels", 1, 1 << 16, 3);
  c.latent_channels = f.integer("latent_channels", 1, 1 << 15, 4);
  c.block_out_channels = f.integers("block_out_channels", 1, 1 << 16, std::vector<Index>{64});
  const std::size_t blocks = c.block_out_channels.size();
  if (blocks < 1 || blocks > 16) f.wrong("block_out_channels", "the number of blocks", "1 to 16", std::to_string(blocks));
  for (const auto& [name, type] : {std::pair{"down_block_types", "DownEncoderBlock2D"}, std::pair{"up_block_types", "UpDecoderBlock2D"}}) {
    const std::vector<std::string> types = f.texts(name, std::vector<std::string>{type});
    if (types.size() != blocks) f.wrong(name, "one entry a block", std::to_string(blocks) + " entries", std::to_string(types.size()));
    for (const std::string& t : types)
      if (t != type) f.wrong(name, "unsupported block type", type, t);
  }
  c.layers_per_block = f.integer("layers_per_block", 1, 64, 1);
  c.norm_num_groups = f.integer("norm_num_groups", 1, 1 << 16, 32);
  c.sample_size = f.integer("sample_size", 1, 1 << 16, 32);
  c.scaling_factor = f.number("scaling_factor", 1e-12, 1e12, 0.18215);
  c.shift_factor = f.number("shift_factor", -1e12, 1e12, 0.0);
  c.mid_attention = f.boolean("mid_block_add_attention", true);
  c.quant_conv = f.boolean("use_quant_conv", true);
  c.post_quant_conv = f.boolean("use_post_quant_conv", true);
  for (const Index channels : c.block_out_channels)
    if (channels % c.norm_num_groups) f.wrong("norm_num_groups", "the groups do not divide the channels", "a divisor of " + std::to_string(channels), std::to_string(c.norm_num_groups));
  return c;
}

SpatialAttention::SpatialAttention(const Scope& p, Index channels, Index groups)
    : group_norm(p / "group_norm", channels, {.groups = groups, .eps = norm_eps}),
      to_q(p / "to_q", channels, channels),
      to_k(p / "to_k", channels, channels),
      to_v(p / "to_v", channels, channels),
      to_out(p / "to_out" / 0, channels, channels) {}

Tensor SpatialAttention::operator()(const Tensor& x) const {
  const auto [B, H, W, C] = x.dims<4>();
  const Tensor h = reshape(group_norm(x), {B, H * W, C});
  const auto one_head = [](const Tensor& t) { return reshape(t, {t.dim(0), t.dim(1), 1, t.dim(2)}); };
  const Tensor seen = attention(one_head(to_q(h)), one_head(to_k(h)), one_head(to_v(h)));
  return reshape(to_out(reshape(seen, {B, H * W, C}), reshape(x, {B, H * W, C})), x.shape());
}

VaeMidBlock::VaeMidBlock(const Scope& p, Index channels, const VaeConfig& c)
    : resnet0(p / "resnets" / 0, channels, channels, resnet_options(c)), resnet1(p / "resnets" / 1, channels, channels, resnet_options(c)) {
  if (c.mid_attention) attention.emplace(p / "attentions" / 0, channels, c.norm_num_groups);
}

Autoencoder::Autoencoder(const Scope& p, const VaeConfig& c)
    : config_(c),
      encoder_in_(p / "encoder" / "conv_in", c.in_channels, c.block_out_channels.front(), {.padding = same(3)}),
      encoder_mid_(p / "encoder" / "mid_block", c.block_out_channels.back(), c),
      encoder_norm_(p / "encoder" / "conv_norm_out", c.block_out_channels.back(), {.groups = c.norm_num_groups, .eps = norm_eps, .silu = true}),
      encoder_out_(p / "encoder" / "conv_out", c.block_out_channels.back(), 2 * c.latent_channels, {.padding = same(3)}),
      decoder_in_(p / "decoder" / "conv_in", c.latent_channels, c.block_out_channels.back(), {.padding = same(3)}),
      decoder_mid_(p / "decoder" / "mid_block", c.block_out_channels.back(), c),
      decoder_norm_(p / "decoder" / "conv_norm_out", c.block_out_channels.front(), {.groups = c.norm_num_groups, .eps = norm_eps, .silu = true}),
      decoder_out_(p / "decoder" / "conv_out", c.block_out_channels.front(), c.out_channels, {.padding = same(3)}) {
  const Index blocks = Index(c.block_out_channels.size());
  Index channels = c.block_out_channels.front();
  for (Index b = 0; b < blocks; ++b) {
    const Scope at = p / "encoder" / "down_blocks" / b;
    const Index out = c.block_out_channels[std::size_t(b)];
    down_.push_back(make_block(at, channels, out, c.layers_per_block, c));
    if (b + 1 < blocks) down_.back().downsample.emplace(at / "downsamplers" / 0, out, Downsample2D::Padding::end);
    channels = out;
  }
  for (Index b = 0; b < blocks; ++b) {
    const Scope at = p / "decoder" / "up_blocks" / b;
    const Index out = c.block_out_channels[std::size_t(blocks - 1 - b)];
    up_.push_back(make_block(at, channels, out, c.layers_per_block + 1, c));
    if (b + 1 < blocks) up_.back().upsample.emplace(at / "upsamplers" / 0, out);
    channels = out;
  }
  if (c.quant_conv) quant_conv_.emplace(p / "quant_conv", 2 * c.latent_channels, 2 * c.latent_channels, nn::Conv2d::Options{.kernel = 1});
  if (c.post_quant_conv) post_quant_conv_.emplace(p / "post_quant_conv", c.latent_channels, c.latent_channels, nn::Conv2d::Options{.kernel = 1});
}

Moments Autoencoder::encode(const Tensor& images, Site at) const {
  want_channels("vae encode", images, config_.in_channels, at);
  Tensor h = encoder_in_(images);
  for (const VaeBlock& block : down_) h = run(block, std::move(h));
  h = encoder_out_(encoder_norm_(encoder_mid_(h)));  // [B, h, w, 2 latent_channels]
  if (quant_conv_) h = (*quant_conv_)(h);
  const Index L = config_.latent_channels;
  return {.mean = slice(h, -1, 0, L), .logvar = clamp(slice(h, -1, L, 2 * L), -30, 20)};
}

Tensor Autoencoder::decode(const Tensor& latents, Site at) const {
  want_channels("vae decode", latents, config_.latent_channels, at);
  Tensor h = decoder_mid_(decoder_in_(post_quant_conv_ ? (*post_quant_conv_)(latents) : latents));
  for (const VaeBlock& block : up_) h = run(block, std::move(h));
  return decoder_out_(decoder_norm_(std::move(h)));
}

}  // namespace sspo
