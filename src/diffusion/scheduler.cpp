#include "sspo/diffusion/scheduler.hpp"

#include <cmath>
#include <functional>
#include <utility>

#include "diffusion/samplers.hpp"

namespace sspo {
namespace {

bool is_euler(SchedulerKind kind) { return kind == SchedulerKind::euler || kind == SchedulerKind::euler_ancestral; }

std::string number(double v) {
  std::string text = std::to_string(v);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

Scheduler::Step step_of(const StepContext& c) {
  switch (c.config.kind) {
    case SchedulerKind::ddpm: return ddpm_step(c);
    case SchedulerKind::ddim: return ddim_step(c);
    case SchedulerKind::pndm: return pndm_step(c);
    case SchedulerKind::euler: return euler_step(c);
    case SchedulerKind::euler_ancestral: return euler_ancestral_step(c);
    default: return dpm_solver_step(c);
  }
}

std::function<bool(Index)> draws_of(const StepContext& c) {
  switch (c.config.kind) {
    case SchedulerKind::ddpm: return [t = c.plan.timesteps](Index i) { return t[std::size_t(i)] > 0; };
    case SchedulerKind::ddim: return [eta = c.eta](Index) { return eta > 0; };
    case SchedulerKind::euler_ancestral: return [](Index) { return true; };
    case SchedulerKind::dpmpp_2m: return [sde = c.config.algorithm_type == SdeOrOde::sde](Index) { return sde; };
    default: return [](Index) { return false; };
  }
}

// Plans that diffusers makes but cannot run, or runs into garbage.
void check_runs(const SchedulerConfig& c, const StepPlan& plan, Site at) {
  const auto refuse = [&](std::string what, std::string expected, std::string got) {
    fail({.op = std::string(name_of(c.kind)), .what = std::move(what), .expected = std::move(expected),
          .got = std::move(got),
          .hint = "take another number of steps, or change timestep_spacing or steps_offset in scheduler_config.json"}, at);
  };
  const std::vector<float>& t = plan.timesteps;
  if (c.kind == SchedulerKind::dpmpp_2m && t.size() > 1 && t[0] == t[1]) refuse("the first timestep comes twice", "falling timesteps", number(t[0]) + " twice");
  if (!plan.sigmas.empty()) return;
  for (const float v : t)
    if (v < 0 || v >= float(c.num_train_timesteps))
      refuse("a timestep lies outside the noise schedule", "0 ... " + std::to_string(c.num_train_timesteps - 1), number(v));
}

}  // namespace

Scheduler::Scheduler(SchedulerConfig config, StepPlan plan, std::function<bool(Index)> draws, Step first_step)
    : config_(std::move(config)), plan_(std::move(plan)), draws_(std::move(draws)), first_step_(std::move(first_step)) {}

Tensor Scheduler::scale_model_input(const Tensor& x, Index i, Site at) const {
  if (i < 0 || i >= calls())
    fail({.op = "scale_model_input", .what = "no such step", .expected = "0 ... " + std::to_string(calls() - 1),
          .got = std::to_string(i)}, at);
  if (!is_euler(config_.kind)) return x;
  const float sigma = plan_.sigmas[std::size_t(i)];
  return x / double(std::sqrt(sigma * sigma + 1.0f));
}

Tensor Scheduler::step(const Tensor& model_output, Index i, const Tensor& x, const Tensor& noise, Site at) {
  const std::string name(name_of(config_.kind));
  if (i != 0 && (i != next_ || i >= calls()))
    fail({.op = name, .what = "steps run in order",
          .expected = next_ < calls() ? "step " + std::to_string(next_) + ", or 0 to start anew" : "0 to start anew",
          .got = "step " + std::to_string(i)}, at);
  const auto fits = [&](const Tensor& t) { return t.defined() && t.dtype() == DType::f32 && t.shape() == x.shape(); };
  if (!x.defined() || x.rank() < 1 || !fits(x) || !fits(model_output))
    fail({.op = name, .what = "sample and model output do not fit together", .expected = "f32 tensors [B, ...] of one shape",
          .got = "x " + (x.defined() ? x.str() : "none") + ", output " + (model_output.defined() ? model_output.str() : "none")}, at);
  if (draws(i) && !fits(noise))
    fail({.op = name, .what = "this step draws noise", .expected = "noise " + x.str(),
          .got = noise.defined() ? noise.str() : "none"}, at);
  if (i == 0) {
    check_runs(config_, plan_, at);
    step_ = first_step_;
  }
  Tensor result = step_(model_output, i, x, noise);
  next_ = i + 1;
  return result;
}

Scheduler make_scheduler(const SchedulerConfig& config, Index steps, SchedulerOptions options, Site at) {
  const std::string name(name_of(config.kind));
  if (!(options.eta >= 0 && options.eta <= 1))
    fail({.op = name, .what = "eta out of range", .expected = "0 ... 1", .got = number(options.eta)}, at);
  if (config.prediction_type == Prediction::sample && (config.kind == SchedulerKind::pndm || config.kind == SchedulerKind::euler_ancestral))
    fail({.op = name, .what = "prediction_type is not supported by this scheduler",
          .expected = "epsilon, v_prediction", .got = "sample"}, at);
  if (config.kind == SchedulerKind::dpmpp_2m && (config.solver_order < 1 || config.solver_order > 3))
    fail({.op = name, .what = "solver_order out of range", .expected = "1 ... 3",
          .got = std::to_string(config.solver_order)}, at);
  StepContext context{config, plan_steps(config, steps, at), steps, NoiseSchedule(config, at).alphas_cumprod(), options.eta};
  // Where no signal is left, x_0 does not follow from ε, nor ε from x_0 where there is no noise.
  for (const float a : context.alphas_cumprod)
    if (context.plan.sigmas.empty() && !(a > 0 && a < 1) && !(a == 0 && config.prediction_type != Prediction::epsilon))
      fail({.op = name, .what = "the noise schedule has a timestep without signal or without noise",
            .expected = "alphas_cumprod in (0, 1); 0 only if the model predicts v or x_0",
            .got = number(a)}, at);
  return Scheduler(config, context.plan, draws_of(context), step_of(context));
}

}  // namespace sspo
