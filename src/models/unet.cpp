#include "sspo/models/unet.hpp"

namespace sspo {
namespace {

using Projection = std::variant<nn::Conv2d, nn::Linear>;

Projection projection(const Scope& p, Index channels, bool linear) {
  if (linear) return nn::Linear(p, channels, channels);
  return nn::Conv2d(p, channels, channels, {.kernel = 1});
}

Tensor project(const Projection& f, const Tensor& x, const Tensor& residual = {}) {
  return std::visit([&](const auto& layer) { return layer(x, residual); }, f);
}

}  // namespace

CrossAttention::CrossAttention(const Scope& p, Index channels, Index context, Index h)
    : to_q(p / "to_q", channels, channels, {.bias = false}),
      to_k(p / "to_k", context, channels, {.bias = false}),
      to_v(p / "to_v", context, channels, {.bias = false}),
      to_out(p / "to_out" / 0, channels, channels),
      heads(h) {}

Tensor CrossAttention::operator()(const Tensor& x, const Tensor& context, const Tensor& residual) const {
  const auto [B, N, C] = x.dims<3>();
  const Index D = C / heads;
  const auto split = [&, B = B](const Tensor& t) { return reshape(t, {B, t.dim(1), heads, D}); };
  return to_out(reshape(attention(split(to_q(x)), split(to_k(context)), split(to_v(context))), {B, N, C}), residual);
}

BasicTransformerBlock::BasicTransformerBlock(const Scope& p, Index channels, Index context, Index heads)
    : norm1(p / "norm1", channels),
      attn1(p / "attn1", channels, channels, heads),
      norm2(p / "norm2", channels),
      attn2(p / "attn2", channels, context, heads),
      norm3(p / "norm3", channels),
      ff_in(p / "ff" / "net" / 0 / "proj", channels, 8 * channels),
      ff_out(p / "ff" / "net" / 2, 4 * channels, channels) {}

Tensor BasicTransformerBlock::operator()(const Tensor& x, const Tensor& context) const {
  const Tensor h = norm1(x), y = attn1(h, h, x);
  const Tensor z = attn2(norm2(y), context, y);
  return ff_out(geglu(ff_in(norm3(z))), z);
}

Transformer2D::Transformer2D(const Scope& p, const UNetConfig& c, std::size_t block, Index channels)
    : norm(p / "norm", channels, {.groups = c.norm_num_groups, .eps = 1e-6}),
      proj_in(projection(p / "proj_in", channels, c.use_linear_projection)),
      proj_out(projection(p / "proj_out", channels, c.use_linear_projection)) {
  for (Index i = 0; i < c.transformer_layers[block]; ++i)
    blocks.emplace_back(p / "transformer_blocks" / i, channels, c.cross_attention_dim[block], c.heads[block]);
}

Tensor Transformer2D::operator()(const Tensor& x, const Tensor& context) const {
  const auto [B, H, W, C] = x.dims<4>();
  Tensor h = reshape(project(proj_in, norm(x)), {B, H * W, C});
  for (const BasicTransformerBlock& block : blocks) h = block(h, context);
  return project(proj_out, reshape(h, {B, H, W, C}), x);
}

UNet::UNet(const Scope& p, const UNetConfig& c)
    : config_(c),
      conv_in_(p / "conv_in", c.in_channels, c.block_out_channels[0], {.kernel = c.conv_in_kernel, .padding = same(c.conv_in_kernel)}),
      time_linear_1_(p / "time_embedding" / "linear_1", c.block_out_channels[0], 4 * c.block_out_channels[0]),
      time_linear_2_(p / "time_embedding" / "linear_2", 4 * c.block_out_channels[0], 4 * c.block_out_channels[0]),
      conv_norm_out_(p / "conv_norm_out", c.block_out_channels[0], {.groups = c.norm_num_groups, .eps = c.norm_eps, .silu = true}),
      conv_out_(p / "conv_out", c.block_out_channels[0], c.out_channels, {.kernel = c.conv_out_kernel, .padding = same(c.conv_out_kernel)}) {
  const std::size_t depth = c.block_out_channels.size();
  const ResnetBlock2D::Options resnet{.temb = 4 * c.block_out_channels[0], .groups = c.norm_num_groups, .eps = c.norm_eps};

  Index channels = c.block_out_channels[0];
  for (std::size_t b = 0; b < depth; ++b) {
    const Scope at = p / "down_blocks" / Index(b);
    const Index in = channels, out = channels = c.block_out_channels[b];
    UNetBlock block;
    for (Index i = 0; i < c.layers_per_block[b]; ++i) {
      block.resnets.emplace_back(at / "resnets" / i, i == 0 ? in : out, out, resnet);
      if (c.down_attention[b]) block.attentions.emplace_back(at / "attentions" / i, c, b, out);
    }
    const auto padding = c.downsample_padding ? Downsample2D::Padding::around : Downsample2D::Padding::end;
    if (b + 1 < depth) block.downsample.emplace(at / "downsamplers" / 0, out, padding);
    down_.push_back(std::move(block));
  }

  if (c.mid_block) {
    const Scope at = p / "mid_block";
    mid_resnets_.emplace_back(at / "resnets" / 0, channels, channels, resnet);
    mid_attention_.emplace_back(at / "attentions" / 0, c, depth - 1, channels);
    mid_resnets_.emplace_back(at / "resnets" / 1, channels, channels, resnet);
  }

  for (std::size_t b = 0; b < depth; ++b) {  // b counts upwards from the bottom, `level` is the mirrored down block
    const Scope at = p / "up_blocks" / Index(b);
    const std::size_t level = depth - 1 - b;
    const Index below = channels, out = channels = c.block_out_channels[level], above = c.block_out_channels[level ? level - 1 : 0];
    UNetBlock block;
    const Index layers = c.layers_per_block[level] + 1;
    for (Index i = 0; i < layers; ++i) {
      const Index skip = i + 1 == layers ? above : out;
      block.resnets.emplace_back(at / "resnets" / i, (i == 0 ? below : out) + skip, out, resnet);
      if (c.up_attention[b]) block.attentions.emplace_back(at / "attentions" / i, c, level, out);
    }
    if (level) block.upsample.emplace(at / "upsamplers" / 0, out);
    up_.push_back(std::move(block));
  }
}

Tensor UNet::embed_time(const Tensor& t, DType dtype) const {
  const Tensor waves = timestep_embedding(cast(t, dtype == DType::f64 ? DType::f64 : DType::f32), config_.block_out_channels[0],
                                          {.flip_sin_to_cos = config_.flip_sin_to_cos, .downscale_freq_shift = config_.freq_shift});
  return silu(time_linear_2_(time_linear_1_(cast(waves, dtype), Activation::silu)));
}

Tensor UNet::operator()(const Tensor& sample, const Tensor& t, const Tensor& text, Site at) const {
  const auto [B, H, W, C] = sample.dims<4>(at);
  const auto [text_batch, N, D] = text.dims<3>(at);
  if (C != config_.in_channels || t.rank() != 1 || t.dim(0) != B || text_batch != B || D != config_.cross_attention_dim[0])
    fail({.op = "unet", .what = "the inputs do not fit each other or the config",
          .expected = "sample [B, H, W, " + std::to_string(config_.in_channels) + "], timestep [B], text [B, N, " + std::to_string(config_.cross_attention_dim[0]) + "]",
          .got = sample.str() + ", " + t.str() + ", " + text.str()}, at);
  const Tensor temb = embed_time(t, sample.dtype());
  const auto again = [this](const auto& f, const Tensor& x, const Tensor& y) {
    return recompute_ ? recompute([&f](const Tensors& in) { return f(in[0], in[1]); }, {x, y}) : f(x, y);
  };
  Tensor h = conv_in_(config_.center_input_sample ? sample * 2 - 1 : sample);

  Tensors skips{h};
  for (const UNetBlock& block : down_) {
    for (std::size_t i = 0; i < block.resnets.size(); ++i) {
      h = again(block.resnets[i], h, temb);
      if (!block.attentions.empty()) h = again(block.attentions[i], h, text);
      skips.push_back(h);
    }
    if (block.downsample) skips.push_back(h = (*block.downsample)(h));
  }
  if (config_.mid_block) h = again(mid_resnets_[1], again(mid_attention_[0], again(mid_resnets_[0], h, temb), text), temb);
  for (const UNetBlock& block : up_) {
    for (std::size_t i = 0; i < block.resnets.size(); ++i) {
      h = again(block.resnets[i], cat({h, skips.back()}, -1), temb);
      skips.pop_back();
      if (!block.attentions.empty()) h = again(block.attentions[i], h, text);
    }
    if (block.upsample) h = (*block.upsample)(h, skips.back().dim(1), skips.back().dim(2));  // odd sizes, too, meet their skip
  }
  return conv_out_(conv_norm_out_(h));
}

}  // namespace sspo
