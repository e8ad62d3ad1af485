// Preference training of a denoiser: the four errors of a batch of pairs, the gradient of an objective, one step.
//   PairBatch batch = draw_noise({.latents_w = w, .latents_r = r, .text = text}, schedule.size(), rng / "step" / u);
//   StepReport report = preference_step(adamw, policy, reference, batch, schedule, objective_named("sspo"), {});
// A model is a callable (diffusion/sampling.hpp); the policy's parameters are known to the optimizer alone.
// Read pair_errors, then pair_gradients.
#pragma once
#include <vector>

#include "sspo/diffusion/sampling.hpp"
#include "sspo/diffusion/schedule.hpp"
#include "sspo/train/objective.hpp"
#include "sspo/train/optimizer.hpp"

namespace sspo {

// B pairs. One time for both images of a pair; one noise, too, unless noise_r is given     spec §3.3
struct PairBatch {
  Tensor latents_w, latents_r = {};       // x_0^w, x_0^r [B, ...], scaled; latents_r undefined: winners alone
  Tensor noise_w = {}, noise_r = {};      // ε, of their shape; noise_r undefined: noise_w
  std::vector<Index> timesteps = {};      // [B]
  Tensor text = {};                       // [B, N, D]
  Index size() const { return latents_w.dim(0); }
  PairBatch slice(Index begin, Index end) const;
  PairBatch take(const std::vector<Index>& samples) const;  // these, in this order
};

struct NoiseOptions {
  bool own_noise_r = false;  // independent noise for the second image, as the paper's notation allows
};
// Fills in times, uniform over 0 ... steps - 1, and noise: a function of the path and of the sample's place in the batch.
PairBatch draw_noise(PairBatch batch, Index steps, const Rng& rng, const NoiseOptions& options = {});

struct PairOptions {
  Prediction prediction = Prediction::epsilon;  // what the models tell: the errors are against it
  DType dtype = DType::f32;                     // in which the models compute
};

// Both images go through each model in one batch of 2B: a_tw, a_tr from the policy, a_rw, a_rr from the reference, each in
// f64, [B]. Nothing flows into the reference. A null reference or a missing second image leaves its errors undefined.
PairErrors pair_errors(const Denoiser& policy, const Denoiser& reference, const PairBatch& batch, const NoiseSchedule& schedule,
                       const PairOptions& options = {}, Site at = Site::current());

struct PairGradients {
  PairErrors errors;    // of all B samples, cut from the graph, as are the terms
  PairTerms terms;
  Gradients gradients;  // of terms.loss
};
struct GradientOptions : PairOptions {
  Index micro_batch = 0;  // pairs that go through the models at once; 0: all. The gradient is that of the whole batch
};
// A model's rounding may depend on how many samples it is given; z, and with it the gradient, carries kappa times that.
// gates::random deals out the signs of a micro-batch, not of the batch: with it alone the split changes the gradient.
PairGradients pair_gradients(const Denoiser& policy, const Denoiser& reference, const PairBatch& batch, const NoiseSchedule& schedule,
                             const Objective& objective, const ObjectiveOptions& weights, const GradientOptions& options = {},
                             Site at = Site::current());

// Each sample with a reference of its own (spec §3.1, drawn per sample): sample i is compared with reference(which[i]). The samples of
// one reference go through it and the policy together, in micro-batches of them alone: each reference is asked for once, in ascending
// order, and where it is the policy itself the differences are exactly 0. Results stand in the batch's order.
using References = Function<Denoiser(Index number)>;
PairGradients pair_gradients(const Denoiser& policy, const References& reference, const std::vector<Index>& which, const PairBatch& batch,
                             const NoiseSchedule& schedule, const Objective& objective, const ObjectiveOptions& weights,
                             const GradientOptions& options = {}, Site at = Site::current());

struct StepOptions : GradientOptions {
  ObjectiveOptions weights = {};
  double clip_norm = 1;        // bound of the gradient's norm; 0: none
  std::optional<double> lr = {};  // in place of the optimizer's
};
struct StepReport : PairGradients {
  double grad_norm;  // before clipping
};
// Throws Error{non_finite}, before any parameter has changed, if the loss or the gradient's norm is not finite: it names the
// first such sample, its time, errors and sign.
StepReport preference_step(Optimizer& optimizer, const Denoiser& policy, const Denoiser& reference, const PairBatch& batch,
                           const NoiseSchedule& schedule, const Objective& objective, const StepOptions& options = {},
                           Site at = Site::current());

}  // namespace sspo
