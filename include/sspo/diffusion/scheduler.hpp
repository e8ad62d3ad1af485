// Scheduler: the way from noise to a sample in S steps, one model call a timestep.
//   Scheduler s = make_scheduler(load_scheduler_config(path, SchedulerKind::ddim), 20);
//   Tensor x = normal(rng / "x", shape) * s.init_noise_sigma();
//   for (Index i = 0; i < s.calls(); ++i) {
//     const Tensor out = model(s.scale_model_input(x, i), s.timesteps()[i]);
//     x = s.step(out, i, x, s.draws(i) ? normal(rng / "step" / i, shape) : Tensor{});
//   }
// Timesteps, noise levels and arithmetic are those of diffusers, in f32 and in its order, quirks included.
#pragma once
#include <functional>

#include "sspo/diffusion/schedule.hpp"

namespace sspo {

// When the model is called, and at which noise level. Made by plan_steps, a pure function.
struct StepPlan {
  std::vector<float> timesteps;  // one a model call. May be more than S: PNDM repeats some, and so may `trailing`
  std::vector<float> sigmas;     // euler, euler_ancestral, dpmpp_2m: one a call and a last one; else empty
  float init_noise_sigma = 1;    // the standard deviation of the first x
};

// Throws Error: S outside 1 ... T, or a setting the scheduler has no meaning for.
StepPlan plan_steps(const SchedulerConfig& config, Index steps, Site at = Site::current());

struct SchedulerOptions {
  double eta = 0;  // ddim: 0 draws nothing, 1 as much as DDPM     DDIM eq. 16
};

// A value: a copy made between steps goes on alone (multistep methods keep earlier model outputs).
class Scheduler {
 public:
  using Step = std::function<Tensor(const Tensor& out, Index i, const Tensor& x, const Tensor& noise)>;
  Scheduler(SchedulerConfig config, StepPlan plan, std::function<bool(Index)> draws, Step first_step);

  const SchedulerConfig& config() const { return config_; }
  const std::vector<float>& timesteps() const { return plan_.timesteps; }
  const std::vector<float>& sigmas() const { return plan_.sigmas; }
  float init_noise_sigma() const { return plan_.init_noise_sigma; }
  Index calls() const { return Index(plan_.timesteps.size()); }

  // What the model is shown: x / sqrt(σ² + 1) for the Euler samplers, else x itself.
  Tensor scale_model_input(const Tensor& x, Index i, Site at = Site::current()) const;
  bool draws(Index i) const { return draws_(i); }  // does step i use `noise`?
  // x after call i, from the model's output there. i runs from 0 up by ones; 0 starts anew. All tensors are f32 [B, ...] of
  // one shape. Throws Error: another i, shapes or dtypes, missing noise; at step 0 also a timestep that ᾱ has no entry for.
  Tensor step(const Tensor& model_output, Index i, const Tensor& x, const Tensor& noise = {}, Site at = Site::current());

 private:
  SchedulerConfig config_;
  StepPlan plan_;
  std::function<bool(Index)> draws_;
  Step first_step_, step_;  // as made, and with what it has seen since step 0
  Index next_ = 0;
};

Scheduler make_scheduler(const SchedulerConfig& config, Index steps, SchedulerOptions options = {}, Site at = Site::current());

}  // namespace sspo
