// What the UNet and the autoencoder are made of. All on [B, H, W, C]; names as in diffusers' checkpoints.
#pragma once
#include "sspo/nn/layers.hpp"

namespace sspo {

// Two 3x3 convolutions around a skip; the time embedding is added between them.             He et al. 2016
struct ResnetBlock2D {
  nn::GroupNorm norm1;
  nn::Conv2d conv1;
  std::optional<nn::Linear> time_emb_proj;  // where temb > 0
  nn::GroupNorm norm2;
  nn::Conv2d conv2;
  std::optional<nn::Conv2d> conv_shortcut;  // where the width changes
  struct Options {
    Index temb = 0;  // width of the time embedding; 0: none
    Index groups = 32;
    double eps = 1e-5;
  };
  ResnetBlock2D(const Scope& p, Index in, Index out, Options o);
  // x [B, H, W, in], silu_temb [B, temb] = silu(time embedding) or {} -> [B, H, W, out]
  Tensor operator()(Tensor x, const Tensor& silu_temb = {}) const;
};

// Half as many rows and columns: a 3x3 convolution of stride 2.
struct Downsample2D {
  nn::Conv2d conv;
  enum class Padding { around, end };  // one row and column of zeros on all sides, or below and at the right alone (the VAE's)
  Downsample2D(const Scope& p, Index channels, Padding padding);
  Tensor operator()(const Tensor& x) const { return conv(x); }
};

// Each pixel repeated up to height x width, then a 3x3 convolution.
struct Upsample2D {
  nn::Conv2d conv;
  Upsample2D(const Scope& p, Index channels) : conv(p / "conv", channels, channels, {.padding = same(3)}) {}
  Tensor operator()(Tensor x, Index height, Index width) const { return conv(resize(std::move(x), height, width, Resize::nearest)); }
};

}  // namespace sspo
