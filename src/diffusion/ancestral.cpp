// DDPM and DDIM: from x_t to x_s, s < t, through the model's idea of x_0.
#include <algorithm>
#include <cmath>

#include "diffusion/samplers.hpp"

namespace sspo {
namespace {

struct Denoised {
  Tensor x_0, eps;
};

// x_t = sqrt(ᾱ) x_0 + sqrt(1 - ᾱ) ε solved for what the model did not say     DDPM eq. 15; Salimans & Ho 2022, appendix D
Denoised denoised(const Tensor& out, const Tensor& x, float alpha_bar, Prediction prediction) {
  const float signal = std::sqrt(alpha_bar), noise = std::sqrt(1.0f - alpha_bar);
  switch (prediction) {
    case Prediction::epsilon: return {(x - noise * out) / signal, out};
    case Prediction::sample: return {out, (x - signal * out) / noise};
    default: return {signal * x - noise * out, signal * out + noise * x};
  }
}

// β̃ and β of DDPM eq. 7, for a step from ᾱ to ᾱ_s
float posterior_variance(float alpha_bar, float alpha_bar_s) { return (1.0f - alpha_bar_s) / (1.0f - alpha_bar) * (1.0f - alpha_bar / alpha_bar_s); }

float ddpm_deviation(VarianceType type, float alpha_bar, float alpha_bar_s) {
  const float small = std::max(posterior_variance(alpha_bar, alpha_bar_s), 1e-20f);
  switch (type) {
    case VarianceType::fixed_large: return std::sqrt(1.0f - alpha_bar / alpha_bar_s);
    case VarianceType::fixed_small_log: return std::exp(0.5f * std::log(small));
    default: return std::sqrt(small);
  }
}

}  // namespace

// x_s = sqrt(ᾱ_s) β / (1 - ᾱ) x_0 + sqrt(α) (1 - ᾱ_s) / (1 - ᾱ) x_t + σ z     DDPM eq. 7, α = ᾱ / ᾱ_s, β = 1 - α
Scheduler::Step ddpm_step(const StepContext& context) {
  return [c = context](const Tensor& out, Index i, const Tensor& x, const Tensor& noise) {
    const Index t = c.timestep(i);
    const float a = c.alpha_bar(t), a_s = i + 1 < c.calls() ? c.alpha_bar(c.timestep(i + 1)) : 1.0f;
    const float alpha = a / a_s, beta = 1.0f - alpha;
    const Tensor x_0 = limited(denoised(out, x, a, c.config.prediction_type).x_0, c.config);
    const Tensor mean = std::sqrt(a_s) * beta / (1.0f - a) * x_0 + std::sqrt(alpha) * (1.0f - a_s) / (1.0f - a) * x;
    return t > 0 ? mean + ddpm_deviation(c.config.variance_type, a, a_s) * noise : mean;
  };
}

// x_s = sqrt(ᾱ_s) x_0 + sqrt(1 - ᾱ_s - σ²) ε + σ z,  σ = η sqrt(β̃)     DDIM eq. 12 and 16
Scheduler::Step ddim_step(const StepContext& context) {
  return [c = context](const Tensor& out, Index i, const Tensor& x, const Tensor& noise) {
    const Index t = c.timestep(i), s = t - c.config.num_train_timesteps / c.steps;  // not always the next timestep
    const float a = c.alpha_bar(t), a_s = s >= 0 ? c.alpha_bar(s) : c.config.set_alpha_to_one ? 1.0f : c.alpha_bar(0);
    const auto [x_0, eps] = denoised(out, x, a, c.config.prediction_type);
    const float deviation = float(c.eta) * std::sqrt(posterior_variance(a, a_s));
    const Tensor mean = std::sqrt(a_s) * limited(x_0, c.config) + std::sqrt(1.0f - a_s - deviation * deviation) * eps;
    return c.eta > 0 ? mean + deviation * noise : mean;
  };
}

}  // namespace sspo
