#include "diffusion/timesteps.hpp"

#include <algorithm>
#include <cmath>

#include "sspo/diffusion/scheduler.hpp"

namespace sspo {

std::vector<double> linspace_f64(double first, double last, Index n) {
  std::vector<double> y(static_cast<std::size_t>(n));
  const double step = n > 1 ? (last - first) / double(n - 1) : 0;
  for (Index i = 0; i < n; ++i) y[std::size_t(i)] = double(i) * step + first;
  if (n > 1) y.back() = last;
  return y;
}

namespace {

using Doubles = std::vector<double>;

double rounded(double x) { return std::nearbyint(x); }  // halves to even, as numpy

// numpy.arange(first, 0, -step): its length and its elements are those of floating-point arithmetic, so that S steps may
// be S + 1 elements, the last one a speck above 0.
Doubles arange_down(double first, double step) {
  const Index n = Index(std::ceil(first / step));
  const double delta = (first - step) - first;
  Doubles y(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i) y[std::size_t(i)] = i == 1 ? first - step : first + double(i) * delta;
  return y;
}

// S timesteps, the largest first.     Lin et al. 2024, table 2; `fractional`: linspace is not rounded
Doubles spaced(const SchedulerConfig& c, Index steps, bool fractional) {
  const Index T = c.num_train_timesteps;
  Doubles t;
  switch (c.timestep_spacing) {
    case Spacing::linspace:
      t = linspace_f64(0, double(T - 1), steps);
      for (double& v : t) v = fractional ? v : rounded(v);
      std::reverse(t.begin(), t.end());
      break;
    case Spacing::leading:
      for (Index i = steps; i-- > 0;) t.push_back(double(i * (T / steps) + c.steps_offset));
      break;
    case Spacing::trailing:
      t = arange_down(double(T), double(T) / double(steps));
      for (double& v : t) v = rounded(v) - 1;
      break;
  }
  return t;
}

// DPM-Solver's own: S + 1 points of which the last, the data, is no model call; λ_t below lambda_min_clipped is left out.
Doubles spaced_for_dpm(const SchedulerConfig& c, const std::vector<float>& alphas_cumprod, Index steps, Site at) {
  Index last = c.num_train_timesteps;
  if (c.lambda_min_clipped)
    while (last > 0) {  // λ_t = log α_t - log σ_t falls with t
      const float a = alphas_cumprod[std::size_t(last - 1)];
      if (std::log(std::sqrt(a)) - std::log(std::sqrt(1.0f - a)) >= float(*c.lambda_min_clipped)) break;
      --last;
    }
  if (last == 0)
    fail({.op = "dpmpp_2m", .what = "lambda_min_clipped leaves no timestep",
          .expected = "a value below the largest lambda", .got = std::to_string(*c.lambda_min_clipped)}, at);
  Doubles t;
  switch (c.timestep_spacing) {
    case Spacing::linspace:
      t = linspace_f64(0, double(last - 1), steps + 1);
      for (double& v : t) v = rounded(v);
      std::reverse(t.begin(), t.end());
      t.pop_back();
      break;
    case Spacing::leading:
      for (Index i = steps + 1; i-- > 1;) t.push_back(double(i * (last / (steps + 1)) + c.steps_offset));
      break;
    case Spacing::trailing:
      t = arange_down(double(last), double(c.num_train_timesteps) / double(steps));
      for (double& v : t) v = rounded(v) - 1;
      break;
  }
  return t;
}

// PNDM's calls. PLMS alone: the second point twice (a step of Heun's kind starts the multistep). Else three Runge-Kutta
// steps of four calls first: t, t - h/2 twice, t - h, over the four largest.     PNDM (Liu et al. 2022) algorithm 2
Doubles pndm_calls(const SchedulerConfig& c, Doubles t, Index steps, Site at) {
  const std::size_t n = t.size();
  if (c.skip_prk_steps) {
    if (n > 1) t.insert(t.begin() + 1, t[1]);
    return t;
  }
  if (n < 4)
    fail({.op = "pndm", .what = "too few steps for the Runge-Kutta start",
          .expected = "4 steps or more while skip_prk_steps is false",
          .got = std::to_string(steps)}, at);
  const double half = double(c.num_train_timesteps / steps / 2);
  Doubles calls = {t[0]};
  for (std::size_t i = 1; i < 4; ++i) {
    const double t_half = t[i] + half;
    calls.insert(calls.end(), {t_half, t_half, t[i]});
    if (i < 3) calls.push_back(t[i]);
  }
  calls.insert(calls.end(), t.begin() + 3, t.end());
  return calls;
}

// numpy.interp(t, 0 ... n - 1, y)
double interpolated(double t, const std::vector<float>& y) {
  if (!(t > 0)) return y.front();
  if (t >= double(y.size() - 1)) return y.back();
  const std::size_t i = std::size_t(t);
  const double low = y[i], slope = double(y[i + 1]) - low;
  return t == double(i) ? low : slope * (t - double(i)) + low;
}

// Karras et al. 2022, eq. 5, ρ = 7;  and evenly spaced logarithms.
Doubles karras(double sigma_max, double sigma_min, Index steps) {
  const double rho = 7, high = std::pow(sigma_max, 1 / rho), low = std::pow(sigma_min, 1 / rho);
  Doubles y = linspace_f64(0, 1, steps);
  for (double& v : y) v = std::pow(high + v * (low - high), rho);
  return y;
}
Doubles exponential(double sigma_max, double sigma_min, Index steps) {
  Doubles y = linspace_f64(std::log(sigma_max), std::log(sigma_min), steps);
  for (double& v : y) v = std::exp(v);
  return y;
}

// The (fractional) timestep with noise level σ, linear in log σ.
double timestep_of(double sigma, const std::vector<float>& log_sigmas) {
  const double log_sigma = std::log(std::max(sigma, 1e-10));
  const auto above = std::upper_bound(log_sigmas.begin(), log_sigmas.end(), log_sigma, [](double x, float y) { return x < double(y); });
  const std::size_t low = std::size_t(std::clamp<std::ptrdiff_t>(above - log_sigmas.begin() - 1, 0, std::ptrdiff_t(log_sigmas.size()) - 2));
  const float gap = log_sigmas[low] - log_sigmas[low + 1];
  const double w = std::clamp((double(log_sigmas[low]) - log_sigma) / double(gap), 0.0, 1.0);
  return (1 - w) * double(low) + w * double(low + 1);
}

// σ_t = sqrt((1 - ᾱ_t) / ᾱ_t): the noise level when the signal's is 1.
std::vector<float> sigma_table(std::vector<float> alphas_cumprod, const SchedulerConfig& c, Site at) {
  for (float& a : alphas_cumprod) {
    const float sigma = std::sqrt((1.0f - a) / a);
    if (!(sigma > 0 && std::isfinite(sigma)))
      fail({.op = std::string(name_of(c.kind)), .what = "the noise schedule leaves no signal, or adds no noise",
            .expected = "betas with alphas_cumprod strictly between 0 and 1",
            .got = "alphas_cumprod " + std::to_string(a)}, at);
    a = sigma;
  }
  return alphas_cumprod;
}

StepPlan plan_sigmas(const SchedulerConfig& c, Index steps, Site at) {
  std::vector<float> alphas_cumprod = NoiseSchedule(c, at).alphas_cumprod();
  if (c.rescale_betas_zero_snr) alphas_cumprod.back() = 0x1p-24f;  // else the last σ would be infinite
  const std::vector<float> table = sigma_table(alphas_cumprod, c, at);
  std::vector<float> log_table(table);
  for (float& v : log_table) v = std::log(v);

  const bool dpm = c.kind == SchedulerKind::dpmpp_2m, special = c.use_karras_sigmas || c.use_exponential_sigmas;
  Doubles t = dpm ? spaced_for_dpm(c, alphas_cumprod, steps, at) : spaced(c, steps, true);
  for (double& v : t) v = float(v);
  Doubles sigmas;
  for (const double v : t) sigmas.push_back(interpolated(v, table));
  if (c.kind == SchedulerKind::euler && c.interpolation_type == Interpolation::log_linear) {
    sigmas.clear();
    for (const float v : linspace_f32(log_table.back(), log_table.front(), steps + 1)) sigmas.push_back(double(std::exp(v)));
  }
  if (special) {
    const double high = dpm ? double(table.back()) : c.sigma_max.value_or(sigmas.front());
    const double low = dpm ? double(table.front()) : c.sigma_min.value_or(sigmas.back());
    sigmas = c.use_karras_sigmas ? karras(high, low, steps) : exponential(high, low, steps);
    t.clear();
    for (const double s : sigmas) t.push_back(timestep_of(s, log_table));
    if (dpm)
      for (double& v : t) v = c.use_karras_sigmas && c.beta_schedule != BetaSchedule::squaredcos_cap_v2 ? rounded(v) : std::trunc(v);
  }

  StepPlan plan;
  plan.timesteps.assign(t.begin(), t.end());
  plan.sigmas.assign(sigmas.begin(), sigmas.end());
  plan.sigmas.push_back(c.final_sigmas_type == FinalSigma::zero ? 0 : table.front());
  if (!dpm) {
    const float most = *std::max_element(plan.sigmas.begin(), plan.sigmas.end());
    plan.init_noise_sigma = c.timestep_spacing == Spacing::leading ? std::sqrt(most * most + 1.0f) : most;
  }
  return plan;
}

}  // namespace

StepPlan plan_steps(const SchedulerConfig& c, Index steps, Site at) {
  if (steps < 1 || steps > c.num_train_timesteps)
    fail({.op = std::string(name_of(c.kind)), .what = "no such number of steps",
          .expected = "1 ... num_train_timesteps = " + std::to_string(c.num_train_timesteps),
          .got = std::to_string(steps)}, at);
  if (c.kind >= SchedulerKind::euler) return plan_sigmas(c, steps, at);
  Doubles t = spaced(c, steps, false);
  if (c.kind == SchedulerKind::pndm) t = pndm_calls(c, std::move(t), steps, at);
  StepPlan plan;
  plan.timesteps.assign(t.begin(), t.end());
  return plan;
}

}  // namespace sspo
