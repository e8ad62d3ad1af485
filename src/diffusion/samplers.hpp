// Private to the room: the steps of each sampler. A step is a function with a memory: make_scheduler copies the one it
// was made with whenever a run begins.
#pragma once
#include "sspo/diffusion/scheduler.hpp"
#include "sspo/ops/elementwise.hpp"

namespace sspo {

// What a sampler is made from. ᾱ_t is `alphas_cumprod`, level i is sigmas[i]; all scalars are f32 as in diffusers.
struct StepContext {
  SchedulerConfig config;
  StepPlan plan;
  Index steps;
  std::vector<float> alphas_cumprod;
  double eta;

  float alpha_bar(Index t) const { return alphas_cumprod[std::size_t(t)]; }
  Index timestep(Index i) const { return Index(plan.timesteps[std::size_t(i)]); }
  Index calls() const { return Index(plan.timesteps.size()); }
  float sigma(Index i) const { return plan.sigmas[std::size_t(i)]; }
};

Scheduler::Step ddpm_step(const StepContext& context);             // ancestral.cpp
Scheduler::Step ddim_step(const StepContext& context);
Scheduler::Step pndm_step(const StepContext& context);             // pndm.cpp
Scheduler::Step euler_step(const StepContext& context);            // euler.cpp
Scheduler::Step euler_ancestral_step(const StepContext& context);
Scheduler::Step dpm_solver_step(const StepContext& context);       // dpm_solver.cpp

// x_0 as the config limits it: a quantile of |x_0| for each sample, or clamped to a range, or as it is.
Tensor limited(const Tensor& x_0, const SchedulerConfig& config);  // limited.cpp

}  // namespace sspo
