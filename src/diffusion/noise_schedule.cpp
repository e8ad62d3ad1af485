#include <algorithm>
#include <cmath>
#include <numbers>

#include "diffusion/timesteps.hpp"
#include "sspo/diffusion/schedule.hpp"
#include "sspo/ops/elementwise.hpp"

namespace sspo {

// As torch.linspace rounds: from both ends, the product fused.
std::vector<float> linspace_f32(float first, float last, Index n) {
  std::vector<float> y(static_cast<std::size_t>(n));
  const float step = n > 1 ? (last - first) / float(n - 1) : 0;
  for (Index i = 0; i < n; ++i)
    y[std::size_t(i)] = i < n / 2 || n == 1 ? std::fma(step, float(i), first) : std::fma(-step, float(n - 1 - i), last);
  return y;
}

namespace {

// ᾱ(t) = cos²((t + 0.008) / 1.008 π/2), β <= 0.999     Nichol & Dhariwal 2021, eq. 17
std::vector<float> cosine_betas(Index n) {
  const auto alpha_bar = [](double t) { const double c = std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2); return c * c; };
  std::vector<float> betas(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i)
    betas[std::size_t(i)] = float(std::min(1 - alpha_bar(double(i + 1) / double(n)) / alpha_bar(double(i) / double(n)), 0.999));
  return betas;
}

// The running product is held in double, its values rounded: PyTorch's cumprod on a CPU.
std::vector<float> cumulative_alphas(const std::vector<float>& betas) {
  std::vector<float> y;
  double product = 1;
  for (const float beta : betas) y.push_back(float(product *= double(1.0f - beta)));
  return y;
}

// √ᾱ shifted and scaled so that the last is 0 and the first stays     Lin et al. 2024, algorithm 1
std::vector<float> with_zero_terminal_snr(const std::vector<float>& betas) {
  std::vector<float> root = cumulative_alphas(betas);
  for (float& r : root) r = std::sqrt(r);
  const float first = root.front(), last = root.back(), scale = first / (first - last);
  for (float& r : root) r = (r - last) * scale;
  std::vector<float> y;
  for (std::size_t i = 0; i < root.size(); ++i) {
    const float alpha = i ? (root[i] * root[i]) / (root[i - 1] * root[i - 1]) : root[0] * root[0];
    y.push_back(1.0f - alpha);
  }
  return y;
}

std::vector<float> betas_of(const SchedulerConfig& c, Site at) {
  const auto check = [at](double beta, const char* field) {
    if (!(beta >= 0 && beta <= 1)) fail({.op = "NoiseSchedule", .what = "no variance",
                                         .expected = std::string(field) + " in [0, 1]", .got = std::to_string(beta)}, at);
  };
  if (c.num_train_timesteps < 2 || c.num_train_timesteps > 100000)
    fail({.op = "NoiseSchedule", .what = "num_train_timesteps out of range", .expected = "2 ... 100000",
          .got = std::to_string(c.num_train_timesteps)}, at);
  if (!c.trained_betas.empty()) {
    if (Index(c.trained_betas.size()) != c.num_train_timesteps)
      fail({.op = "NoiseSchedule", .what = "trained_betas and num_train_timesteps differ",
            .expected = std::to_string(c.num_train_timesteps) + " betas",
            .got = std::to_string(c.trained_betas.size())}, at);
    for (const double beta : c.trained_betas) check(beta, "trained_betas");
    return {c.trained_betas.begin(), c.trained_betas.end()};
  }
  if (c.beta_schedule == BetaSchedule::squaredcos_cap_v2) return cosine_betas(c.num_train_timesteps);
  check(c.beta_start, "beta_start");
  check(c.beta_end, "beta_end");
  if (c.beta_schedule == BetaSchedule::linear) return linspace_f32(float(c.beta_start), float(c.beta_end), c.num_train_timesteps);
  std::vector<float> betas = linspace_f32(float(std::sqrt(c.beta_start)), float(std::sqrt(c.beta_end)), c.num_train_timesteps);
  for (float& beta : betas) beta *= beta;
  return betas;
}

void check_timestep(Index t, Index size, Site at) {
  if (t < 0 || t >= size)
    fail({.op = "NoiseSchedule", .what = "no such timestep", .expected = "0 ... " + std::to_string(size - 1),
          .got = std::to_string(t)}, at);
}

// f(ᾱ) for each sample, [B, 1, ..., 1], in the type and on the device of x.
template <class F>
Tensor of_samples(const std::vector<float>& alphas_cumprod, std::span<const Index> t, const Tensor& x, Site at, F&& f) {
  std::vector<double> values;
  for (const Index i : t) {
    check_timestep(i, Index(alphas_cumprod.size()), at);
    const float a = alphas_cumprod[std::size_t(i)];
    values.push_back(x.dtype() == DType::f64 ? f(double(a)) : double(f(a)));
  }
  std::vector<Index> extents(std::size_t(x.rank()), 1);
  extents[0] = Index(t.size());
  return cast(Tensor::from(values, Shape(std::span<const Index>(extents)), x.device()), x.dtype());
}

void check_pair(const Tensor& x, const Tensor& eps, std::size_t timesteps, Site at) {
  if (x.rank() < 1 || !(x.shape() == eps.shape()) || Index(timesteps) != x.dim(0))
    fail({.op = "NoiseSchedule", .what = "samples, noise and timesteps do not fit together",
          .expected = "x_0 [B, ...], eps of the same shape, B timesteps",
          .got = x.str() + ", " + eps.str() + ", " + std::to_string(timesteps) + " timesteps"}, at);
}

constexpr auto signal = [](auto a) { return std::sqrt(a); };
constexpr auto noise = [](auto a) { return std::sqrt(1 - a); };

}  // namespace

NoiseSchedule::NoiseSchedule(const SchedulerConfig& config, Site at) {
  std::vector<float> betas = betas_of(config, at);
  const bool rescale = config.rescale_betas_zero_snr && config.kind != SchedulerKind::pndm;
  alphas_cumprod_ = cumulative_alphas(rescale ? with_zero_terminal_snr(betas) : betas);
}

double NoiseSchedule::snr(Index t, Site at) const {
  check_timestep(t, size(), at);
  const double a = alphas_cumprod_[std::size_t(t)];
  return a / (1 - a);
}

Tensor NoiseSchedule::add_noise(const Tensor& x_0, const Tensor& eps, std::span<const Index> t, Site at) const {
  check_pair(x_0, eps, t.size(), at);
  return add(mul(of_samples(alphas_cumprod_, t, x_0, at, signal), x_0, at), mul(of_samples(alphas_cumprod_, t, x_0, at, noise), eps, at), at);
}

Tensor NoiseSchedule::velocity(const Tensor& x_0, const Tensor& eps, std::span<const Index> t, Site at) const {
  check_pair(x_0, eps, t.size(), at);
  return sub(mul(of_samples(alphas_cumprod_, t, x_0, at, signal), eps, at), mul(of_samples(alphas_cumprod_, t, x_0, at, noise), x_0, at), at);
}

}  // namespace sspo
