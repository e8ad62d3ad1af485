// A diffusion model small enough to train while one waits: a U-Net on 16 x 16 pixels that is told the
// time and the class. Read `diffusion_loss` and `sample`, then TinyUNet.
//
// Noise as an angle: x_φ = cos φ x_0 + sin φ ε, φ = π/2 t, t in [0, 1). This is the cosine schedule (Nichol &
// Dhariwal 2021) without its offset. The model predicts the velocity v = dx_φ/dφ = cos φ ε - sin φ x_0
// (Salimans & Ho 2022), which says the same as ε, yet stays well scaled where x_φ is nearly all noise.
#pragma once
#include <functional>

#include "sspo/nn/layers.hpp"

namespace sspo::cli {

using VelocityPredictor = std::function<Tensor(const Tensor& x, const Tensor& t, const Tensor& classes)>;

// mean |v̂(x_φ, t, class) - v|² at random times.
Tensor diffusion_loss(const VelocityPredictor& predict, const Tensor& pictures, const Tensor& classes, const Rng& rng);

// For guidance the model must also know pictures of no class: one class id in ten becomes `no_class`.
Tensor forget_some(const Tensor& classes, Index no_class, const Rng& rng);
// v(no class) + weight (v(class) - v(no class)): towards what sets the class apart     Ho & Salimans 2022
VelocityPredictor guided(VelocityPredictor predict, Index no_class, double weight);

// DDIM: one picture a class id, from pure noise in `steps` calls of the model.
Tensor sample(const VelocityPredictor& predict, const Tensor& classes, const Shape& picture, const Rng& rng, Index steps);

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
    Index classes;        // ids 0 ... classes; the last one means none
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
