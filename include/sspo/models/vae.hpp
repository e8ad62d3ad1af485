// The autoencoder of Stable Diffusion: images to latents of an eighth of the size and back (Kingma & Welling 2014; Rombach et
// al. 2022), as diffusers' AutoencoderKL.
//   Autoencoder vae(params, load_vae_config("vae/config.json"));
//   Moments m = vae.encode(images);                    // [B, H, W, 3] in [-1, 1] -> mean, logvar [B, H/8, W/8, 4]
//   Tensor z = to_model(sample(m, rng), vae.config()); // scaled as the denoiser wants it
//   Tensor x = vae.decode(from_model(z, vae.config()));
#pragma once
#include "sspo/io/file.hpp"
#include "sspo/models/blocks.hpp"

namespace sspo {

struct VaeConfig {
  Index in_channels = 3, out_channels = 3, latent_channels = 4;
  std::vector<Index> block_out_channels = {128, 256, 512, 512};
  Index layers_per_block = 2, norm_num_groups = 32, sample_size = 512;
  bool mid_attention = true, quant_conv = true, post_quant_conv = true;
  double scaling_factor = 0.18215, shift_factor = 0;
  Index downscale() const { return Index(1) << (block_out_channels.size() - 1); }  // pixels a latent, each way
};
VaeConfig load_vae_config(const std::string& path);  // throws Error{file} naming the field
VaeConfig read_vae_config(std::string_view json, const io::Place& place);

// Every pixel looks at every other, one head; around a skip.
struct SpatialAttention {
  nn::GroupNorm group_norm;
  nn::Linear to_q, to_k, to_v, to_out;
  SpatialAttention(const Scope& p, Index channels, Index groups);
  Tensor operator()(const Tensor& x) const;  // [B, H, W, C]
};

// ResNet, attention, ResNet at the lowest resolution.
struct VaeMidBlock {
  ResnetBlock2D resnet0;
  std::optional<SpatialAttention> attention;
  ResnetBlock2D resnet1;
  VaeMidBlock(const Scope& p, Index channels, const VaeConfig& c);
  Tensor operator()(const Tensor& x) const { return resnet1(attention ? (*attention)(resnet0(x)) : resnet0(x)); }
};

struct VaeBlock {
  std::vector<ResnetBlock2D> resnets;
  std::optional<Downsample2D> downsample;
  std::optional<Upsample2D> upsample;
};

// q(z | x): a normal distribution a latent.
struct Moments {
  Tensor mean, logvar;  // [B, h, w, latent_channels]; logvar within [-30, 20]
};

class Autoencoder {
 public:
  using Config = VaeConfig;
  Autoencoder(const Scope& p, const VaeConfig& config);
  Moments encode(const Tensor& images, Site at = Site::current()) const;  // [B, H, W, in_channels]
  Tensor decode(const Tensor& latents, Site at = Site::current()) const;  // before scaling_factor: see from_model
  const VaeConfig& config() const { return config_; }
  DType dtype() const { return decoder_in_.weight.value().dtype(); }

 private:
  VaeConfig config_;
  nn::Conv2d encoder_in_;
  std::vector<VaeBlock> down_;
  VaeMidBlock encoder_mid_;
  nn::GroupNorm encoder_norm_;
  nn::Conv2d encoder_out_;
  nn::Conv2d decoder_in_;
  VaeMidBlock decoder_mid_;
  std::vector<VaeBlock> up_;
  nn::GroupNorm decoder_norm_;
  nn::Conv2d decoder_out_;
  std::optional<nn::Conv2d> quant_conv_, post_quant_conv_;
};

// mean + e^(logvar / 2) noise, noise a standard normal of that shape.
inline Tensor sample(const Moments& m, const Tensor& noise) { return m.mean + exp(m.logvar * 0.5) * noise; }
inline Tensor sample(const Moments& m, const Rng& rng) { return sample(m, cast(normal(rng, m.mean.shape(), m.mean.device()), m.mean.dtype())); }
inline Tensor to_model(const Tensor& z, const VaeConfig& c) { return (z - c.shift_factor) * c.scaling_factor; }
inline Tensor from_model(const Tensor& z, const VaeConfig& c) { return z / c.scaling_factor + c.shift_factor; }

}  // namespace sspo
