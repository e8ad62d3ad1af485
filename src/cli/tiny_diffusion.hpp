// A diffusion model small enough to train while one waits: a U-Net on 16 x 16 pixels that is told the
// time and the class, and predicts the noise. Read `diffusion_loss`, `sample`, then TinyUNet.
#pragma once
#include <functional>

#include "sspo/nn/layers.hpp"

namespace sspo::cli {

// Variance-preserving noise, written as an angle: x_t = cos φ x_0 + sin φ ε, φ = π/2 t, t in [0, 1).
// This is the cosine schedule (Nichol & Dhariwal 2021) without its offset.
using NoisePredictor = std::function<Tensor(const Tensor& x_t, const Tensor& t, const Tensor& classes)>;

// mean |ε̂(x_t, t, class) - ε|² at random times: DDPM's simple loss.
Tensor diffusion_loss(const NoisePredictor& predict, const Tensor& pictures, const Tensor& classes, const Rng& rng);

// DDIM without added noise: one picture a class id, from pure noise in `steps` calls of the model.
Tensor sample(const NoisePredictor& predict, const Tensor& classes, Shape picture, const Rng& rng, Index steps);

// Two 3 x 3 convolutions around a skip; the embedding of time and class is added between them.
struct ResBlock {
  nn::GroupNorm norm1;
  nn::Conv2d conv1;
  nn::Linear embed;
  nn::GroupNorm norm2;
  nn::Conv2d conv2;
  std::optional<nn::Conv2d> shortcut;  // where the width changes
  ResBlock(const Scope& p, Index in, Index out, Index embedding);
  Tensor operator()(const Tensor& x, const Tensor& embedding) const;
};

// Every pixel looks at every other: what tells one side of a shape where the other side is.
struct AttentionBlock {
  nn::GroupNorm norm;
  nn::Linear to_qkv, to_out;
  Index heads;
  AttentionBlock(const Scope& p, Index channels, Index heads);
  Tensor operator()(const Tensor& x) const;
};

//   16x16   conv_in - down0 ------------------ cat - up0 - norm - conv_out
//    8x8               `- down1 ------- cat - up1 -'
//    4x4                    `- mid ------'
struct TinyUNet {
  struct Options {
    Index channels = 32;  // at 16 x 16; twice as many below
    Index classes;
  };
  TinyUNet(const Scope& p, Options o);
  Tensor operator()(const Tensor& x, const Tensor& t, const Tensor& classes) const;  // [B, 16, 16, 3], [B], [B]

 private:
  Index channels_;
  nn::Linear time1_, time2_;
  nn::Embedding class_;
  nn::Conv2d conv_in_;
  ResBlock down0_, down1_, mid0_;
  AttentionBlock attention_;
  ResBlock mid1_, up1_, up0_;
  nn::GroupNorm norm_out_;
  nn::Conv2d conv_out_;
};

}  // namespace sspo::cli
