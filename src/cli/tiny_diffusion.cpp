#include "cli/tiny_diffusion.hpp"

#include <cmath>
#include <numbers>

namespace sspo::cli {
namespace {

constexpr double quarter_turn = std::numbers::pi / 2;
constexpr GroupNormAttrs norm_silu{.groups = 8, .silu = true};

nn::Conv2d conv3x3(const Scope& p, Index in, Index out) { return {p, in, out, {.kernel = 3, .padding = same(3)}}; }
Tensor over_plane(const Tensor& x) { return reshape(x, {x.dim(0), 1, 1, x.dim(-1)}); }  // [B, C] -> [B, 1, 1, C]
Tensor per_picture(const Tensor& t) { return reshape(t, {t.dim(0), 1, 1, 1}); }         // [B] -> [B, 1, 1, 1]
Tensor doubled(const Tensor& x) { return resize(x, 2 * x.dim(1), 2 * x.dim(2), Resize::nearest); }

}  // namespace

// --- diffusion -------------------------------------------------------------------------------------

Tensor diffusion_loss(const VelocityPredictor& predict, const Tensor& pictures, const Tensor& classes, const Rng& rng) {
  const Tensor t = uniform(rng / "time", {pictures.dim(0)}, 0, 1, pictures.device());       // [B]
  const Tensor eps = normal(rng / "noise", pictures.shape(), pictures.device());            // [B, H, W, 3]
  const Tensor phi = per_picture(quarter_turn * t), c = cos(phi), s = sin(phi);             // [B, 1, 1, 1]
  return mse(predict(c * pictures + s * eps, t, classes), c * eps - s * pictures);
}

Tensor forget_some(const Tensor& classes, Index no_class, const Rng& rng) {
  return where(uniform(rng, classes.shape(), 0, 1, classes.device()) < 0.1, number_like(classes, double(no_class)), classes);
}

VelocityPredictor guided(VelocityPredictor predict, Index no_class, double weight) {
  return [=](const Tensor& x, const Tensor& t, const Tensor& classes) {
    const Tensor none = predict(x, t, full(classes.shape(), double(no_class), classes.dtype(), classes.device()));
    return none + weight * (predict(x, t, classes) - none);
  };
}

// x_0 = cos φ x - sin φ v and ε = sin φ x + cos φ v, so a step from φ to φ - δ is a rotation: cos δ x - sin δ v.
Tensor sample(const VelocityPredictor& predict, const Tensor& classes, const Shape& picture, const Rng& rng, Index steps) {
  const Index count = classes.dim(0);
  const Device& device = classes.device();
  const double delta = quarter_turn / double(steps);
  Tensor x = normal(rng, {count, picture[0], picture[1], picture[2]}, device);
  for (Index i = 0; i < steps; ++i) {
    const Tensor t = full({count}, 1 - double(i) / double(steps), DType::f32, device);
    x = std::cos(delta) * x - std::sin(delta) * predict(x, t, classes);
  }
  return x;
}

// --- blocks ----------------------------------------------------------------------------------------

ResBlock::ResBlock(const Scope& p, Index in, Index out, Index embedding)
    : norm1(p / "norm1", in, norm_silu), conv1(conv3x3(p / "conv1", in, out)), embed(p / "embed", embedding, out),
      norm2(p / "norm2", out, norm_silu), conv2(conv3x3(p / "conv2", out, out)) {
  if (in != out) shortcut.emplace(p / "shortcut", in, out, nn::Conv2d::Options{.kernel = 1});
}

Tensor ResBlock::operator()(const Tensor& x, const Tensor& embedding) const {               // x [B, H, W, in]
  Tensor h = conv1(norm1(x)) + over_plane(embed(embedding));                                // [B, H, W, out]
  h = conv2(norm2(h));
  return h + (shortcut ? (*shortcut)(x) : x);
}

AttentionBlock::AttentionBlock(const Scope& p, Index channels, Index heads_)
    : norm(p / "norm", channels, {.groups = 8}), to_qkv(p / "to_qkv", channels, 3 * channels), to_out(p / "to_out", channels, channels),
      heads(heads_) {}

Tensor AttentionBlock::operator()(const Tensor& x) const {
  const auto [B, H, W, C] = x.dims<4>();
  const Shape head_rows{B, H * W, heads, C / heads};
  const Tensor qkv = reshape(to_qkv(norm(x)), {B, H * W, 3, heads, C / heads});
  const auto part = [&](Index i) { return reshape(slice(qkv, 2, i, i + 1), head_rows); };
  return x + to_out(reshape(attention(part(0), part(1), part(2)), {B, H, W, C}));
}

// --- the U-Net -------------------------------------------------------------------------------------

TinyUNet::TinyUNet(const Scope& p, Options o)
    : channels_(o.channels), time1_(p / "time1", o.channels, 4 * o.channels), time2_(p / "time2", 4 * o.channels, 4 * o.channels),
      class_(p / "class", o.classes + 1, 4 * o.channels), conv_in_(conv3x3(p / "conv_in", 3, o.channels)),
      down0_(p / "down0", o.channels, o.channels, 4 * o.channels), down1_(p / "down1", o.channels, 2 * o.channels, 4 * o.channels),
      mid0_(p / "mid0", 2 * o.channels, 2 * o.channels, 4 * o.channels), attention_(p / "attention", 2 * o.channels, 4),
      mid1_(p / "mid1", 2 * o.channels, 2 * o.channels, 4 * o.channels), up1_(p / "up1", 4 * o.channels, 2 * o.channels, 4 * o.channels),
      up0_(p / "up0", 3 * o.channels, o.channels, 4 * o.channels), norm_out_(p / "norm_out", o.channels, norm_silu),
      conv_out_(conv3x3(p / "conv_out", o.channels, 3)) {}

Tensor TinyUNet::operator()(const Tensor& x, const Tensor& t, const Tensor& classes) const {
  const Tensor sinusoids = timestep_embedding(1000.0 * t, channels_);                       // [B, C]
  const Tensor e = silu(time2_(time1_(sinusoids, Activation::silu)) + class_(classes));     // [B, 4C]
  const Tensor h0 = down0_(conv_in_(x), e);                                                 // [B, 16, 16, C]
  const Tensor h1 = down1_(avg_pool(h0, 2), e);                                             // [B, 8, 8, 2C]
  Tensor h = mid1_(attention_(mid0_(avg_pool(h1, 2), e)), e);                               // [B, 4, 4, 2C]
  h = up1_(cat({doubled(h), h1}, -1), e);                                                   // [B, 8, 8, 2C]
  h = up0_(cat({doubled(h), h0}, -1), e);                                                   // [B, 16, 16, C]
  return conv_out_(norm_out_(h));                                                           // [B, 16, 16, 3]
}

}  // namespace sspo::cli
