// DPM-Solver++ (Lu et al. 2022, arXiv 2211.01095): the model's x_0 is extrapolated over λ = log(α / σ), linear in what
// earlier calls gave. Orders 1 to 3; the SDE form draws noise.
#include <algorithm>
#include <cmath>

#include "diffusion/samplers.hpp"

namespace sspo {
namespace {

// A noise level in the scale of x_t = α x_0 + σ ε, α² + σ² = 1.
struct Level {
  float alpha, sigma, lambda;
  explicit Level(float ratio) : alpha(1.0f / std::sqrt(ratio * ratio + 1.0f)), sigma(ratio * alpha), lambda(std::log(alpha) - std::log(sigma)) {}
};

class DpmSolver {
 public:
  explicit DpmSolver(const StepContext& context) : c_(context) {}

  Tensor operator()(const Tensor& out, Index i, const Tensor& x, const Tensor& noise) {
    outputs_.push_back(data(out, x, Level(c_.sigma(i))));
    if (outputs_.size() > std::size_t(c_.config.solver_order)) outputs_.erase(outputs_.begin());
    return c_.config.algorithm_type == SdeOrOde::ode ? ode(i, x, order(i)) : sde(i, x, noise, order(i));
  }

 private:
  Tensor data(const Tensor& out, const Tensor& x, const Level& at) const {
    switch (c_.config.prediction_type) {
      case Prediction::epsilon: return limited((x - at.sigma * out) / at.alpha, c_.config);
      case Prediction::sample: return limited(out, c_.config);
      default: return limited(at.alpha * x - at.sigma * out, c_.config);
    }
  }

  // Lower at the start, where outputs are few, and at the end of short runs, where extrapolation is unstable.
  int order(Index i) const {
    const bool is_short = c_.config.lower_order_final && c_.calls() < 15;
    const bool last = i == c_.calls() - 1, last_but_one = i == c_.calls() - 2;
    if (last && (c_.config.euler_at_final || is_short || c_.config.final_sigmas_type == FinalSigma::zero)) return 1;
    return std::min(int(outputs_.size()), last_but_one && is_short ? 2 : 3);
  }

  // Divided differences of the last outputs: D[0] the value, D[1] and D[2] the slopes, in units of h.     algorithm 2 and appendix
  struct Differences {
    Tensor d0, d1, d2;
  };
  Differences differences(Index i, float h, int order) const {
    Differences d{outputs_.back(), {}, {}};
    if (order == 1) return d;
    const std::size_t n = outputs_.size();
    const Level now(c_.sigma(i)), before(c_.sigma(i - 1));
    const float r0 = (now.lambda - before.lambda) / h;
    d.d1 = 1.0f / r0 * (outputs_[n - 1] - outputs_[n - 2]);
    if (order == 2) return d;
    const float r1 = (before.lambda - Level(c_.sigma(i - 2)).lambda) / h;
    const Tensor d10 = d.d1, d11 = 1.0f / r1 * (outputs_[n - 2] - outputs_[n - 3]);
    d.d1 = d10 + r0 / (r0 + r1) * (d10 - d11);
    d.d2 = 1.0f / (r0 + r1) * (d10 - d11);
    return d;
  }

  // x = σ_t / σ_s x - α_t (e^-h - 1) D0 - ...,  h = λ_t - λ_s     algorithm 2 (midpoint); appendix (heun, third order)
  Tensor ode(Index i, const Tensor& x, int order) const {
    const Level s(c_.sigma(i)), t(c_.sigma(i + 1));
    const float h = t.lambda - s.lambda, e = std::exp(-h) - 1.0f;
    const Differences d = differences(i, h, order);
    const Tensor first = t.sigma / s.sigma * x - t.alpha * e * d.d0;
    if (order == 1) return first;
    if (order == 2 && c_.config.solver_type == Solver::midpoint) return first - 0.5f * (t.alpha * e) * d.d1;
    const Tensor second = first + t.alpha * (e / h + 1.0f) * d.d1;
    return order == 2 ? second : second - t.alpha * ((e + h) / (h * h) - 0.5f) * d.d2;
  }

  // The same for the reverse SDE: half of the way is noise.     appendix, "SDE-DPM-Solver++"
  Tensor sde(Index i, const Tensor& x, const Tensor& noise, int order) const {
    const Level s(c_.sigma(i)), t(c_.sigma(i + 1));
    const float h = t.lambda - s.lambda, h2 = 2.0f * h, e = 1.0f - std::exp(-2.0f * h);
    const Differences d = differences(i, h, order);
    Tensor y = t.sigma / s.sigma * std::exp(-h) * x + t.alpha * e * d.d0;
    if (order == 2 && c_.config.solver_type == Solver::midpoint) y = y + 0.5f * (t.alpha * e) * d.d1;
    else if (order >= 2) y = y + t.alpha * (e / -h2 + 1.0f) * d.d1;
    if (order == 3) y = y + t.alpha * ((e - h2) / (h2 * h2) - 0.5f) * d.d2;
    return y + t.sigma * std::sqrt(e) * noise;
  }

  StepContext c_;
  Tensors outputs_;  // the model's x_0 at the last calls, newest last
};

}  // namespace

Scheduler::Step dpm_solver_step(const StepContext& context) { return DpmSolver(context); }

}  // namespace sspo
