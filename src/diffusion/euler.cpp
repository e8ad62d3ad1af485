// Euler steps in the scale x = x_0 + σ ε: dx/dσ = (x - x_0(x, σ)) / σ     Karras et al. 2022, eq. 4 and algorithm 1
#include <cmath>

#include "diffusion/samplers.hpp"

namespace sspo {
namespace {

Tensor denoised(const Tensor& out, const Tensor& x, float sigma, Prediction prediction) {
  const float ss = sigma * sigma + 1.0f;
  switch (prediction) {
    case Prediction::epsilon: return x - sigma * out;
    case Prediction::sample: return out;
    default: return out * double(-sigma / std::sqrt(ss)) + x / double(ss);  // x / sqrt(ss) is of unit variance
  }
}

}  // namespace

Scheduler::Step euler_step(const StepContext& context) {
  return [c = context](const Tensor& out, Index i, const Tensor& x, const Tensor&) {
    const float sigma = c.sigma(i);
    const Tensor slope = (x - denoised(out, x, sigma, c.config.prediction_type)) / sigma;
    return x + slope * double(c.sigma(i + 1) - sigma);
  };
}

// A step down to σ_down, then noise up to σ_next: σ_up² = σ_next² (σ² - σ_next²) / σ², σ_down² = σ_next² - σ_up².
Scheduler::Step euler_ancestral_step(const StepContext& context) {
  return [c = context](const Tensor& out, Index i, const Tensor& x, const Tensor& noise) {
    const float sigma = c.sigma(i), next = c.sigma(i + 1);
    const float up = std::sqrt(next * next * (sigma * sigma - next * next) / (sigma * sigma));
    const float down = std::sqrt(next * next - up * up);
    const Tensor slope = (x - denoised(out, x, sigma, c.config.prediction_type)) / sigma;
    return x + slope * double(down - sigma) + noise * double(up);
  };
}

}  // namespace sspo
