// The denoiser of Stable Diffusion: a UNet with attention to the text (Rombach et al. 2022), as diffusers'
// UNet2DConditionModel. Everything follows from the config, nothing from SD-1.5's sizes.
//   UNet unet(params, load_unet_config("unet/config.json"));
//   Tensor eps = unet(x_t, t, text_states);        // x_t [B, H, W, 4], t [B], text [B, N, D] -> [B, H, W, 4]
// Read UNet::operator() first, then Transformer2D.
#pragma once
#include <variant>

#include "sspo/io/file.hpp"
#include "sspo/models/blocks.hpp"

namespace sspo {

struct UNetConfig {
  Index in_channels = 4, out_channels = 4;
  Index sample_size = 64;                                    // rows and columns of the latents it was trained on
  std::vector<Index> block_out_channels = {320, 640, 1280, 1280};
  std::vector<bool> down_attention = {true, true, true, false};  // CrossAttnDownBlock2D, or DownBlock2D
  std::vector<bool> up_attention = {false, true, true, true};    // CrossAttnUpBlock2D, or UpBlock2D
  bool mid_block = true;                                     // UNetMidBlock2DCrossAttn, or none
  std::vector<Index> layers_per_block = {2, 2, 2, 2};
  std::vector<Index> transformer_layers = {1, 1, 1, 1};      // per block
  std::vector<Index> heads = {8, 8, 8, 8};                   // per block; the configs call it attention_head_dim
  std::vector<Index> cross_attention_dim = {768, 768, 768, 768};
  bool use_linear_projection = false;
  bool center_input_sample = false, flip_sin_to_cos = true;
  double freq_shift = 0;
  Index downsample_padding = 1, norm_num_groups = 32;
  double norm_eps = 1e-5;
  Index conv_in_kernel = 3, conv_out_kernel = 3;
};
// Throws Error{file} naming the field: missing, of another type or range, or a variant of the network we do not have.
UNetConfig load_unet_config(const std::string& path);
UNetConfig read_unet_config(std::string_view json, const io::Place& place);

struct CrossAttention {
  nn::Linear to_q, to_k, to_v, to_out;
  Index heads;
  CrossAttention(const Scope& p, Index channels, Index context, Index heads);
  // residual + attention of x [B, N, C] to context [B, M, D] -> [B, N, C]
  Tensor operator()(const Tensor& x, const Tensor& context, const Tensor& residual) const;
};

// Tokens look at each other, then at the text, then each passes its own MLP; all three around skips.
struct BasicTransformerBlock {
  nn::LayerNorm norm1;
  CrossAttention attn1;
  nn::LayerNorm norm2;
  CrossAttention attn2;
  nn::LayerNorm norm3;
  nn::Linear ff_in, ff_out;  // the GEGLU's: C -> 2 * 4C, 4C -> C
  BasicTransformerBlock(const Scope& p, Index channels, Index context, Index heads);
  Tensor operator()(const Tensor& x, const Tensor& context) const;  // [B, N, C]
};

// An image as tokens: [B, H, W, C] is [B, H W, C], for free.
struct Transformer2D {
  nn::GroupNorm norm;
  std::variant<nn::Conv2d, nn::Linear> proj_in, proj_out;  // 1x1 either way; they differ in the checkpoint's shapes
  std::vector<BasicTransformerBlock> blocks;
  Transformer2D(const Scope& p, const UNetConfig& c, std::size_t block, Index channels);
  Tensor operator()(const Tensor& x, const Tensor& context) const;
};

struct UNetBlock {
  std::vector<ResnetBlock2D> resnets;
  std::vector<Transformer2D> attentions;  // as many, or none
  std::optional<Downsample2D> downsample;
  std::optional<Upsample2D> upsample;
};

class UNet {
 public:
  using Config = UNetConfig;
  UNet(const Scope& p, const UNetConfig& config);
  // x [B, H, W, in_channels] of any size, t [B] f32 or i64, text [B, N, cross_attention_dim] -> [B, H, W, out_channels]
  Tensor operator()(const Tensor& x, const Tensor& t, const Tensor& text, Site at = Site::current()) const;
  const UNetConfig& config() const { return config_; }
  // From now on the backward pass computes the activations of each ResNet and each transformer again from its inputs: less memory, a
  // third more time, the same bits. The model must then outlive the graphs it made.
  void recompute_blocks(bool yes) { recompute_ = yes; }

 private:
  Tensor embed_time(const Tensor& t, DType dtype) const;  // [B] -> [B, 4 C0], through SiLU

  UNetConfig config_;
  bool recompute_ = false;
  nn::Conv2d conv_in_;
  nn::Linear time_linear_1_, time_linear_2_;
  std::vector<UNetBlock> down_, up_;
  std::vector<ResnetBlock2D> mid_resnets_;  // two, or none
  std::vector<Transformer2D> mid_attention_;
  nn::GroupNorm conv_norm_out_;
  nn::Conv2d conv_out_;
};

}  // namespace sspo
