// Self-sampling (spec §3.2): the second image of each pair, drawn from a phase's reference, x_0^r ~ p_ref(. | c).
//   SelfSampling how{.scheduler = config, .steps = 20, .guidance = 3, .latent = {8, 8, 4}};
//   Tensor z = self_sample(reference, how, text, negative, ids, rng / "sample" / phase);       // [B, 8, 8, 4], scaled
// A sample is a function of the reference, the prompt's states and the path rng / id: kept in a TensorStore under about_of(...), it
// is never drawn twice.
#pragma once
#include <span>

#include "sspo/base/rng.hpp"
#include "sspo/diffusion/sampling.hpp"
#include "sspo/train/tensor_store.hpp"

namespace sspo {

struct SelfSampling {
  SchedulerConfig scheduler;
  Index steps = 50;
  double guidance = 7.5, eta = 0;
  Shape latent;              // [h, w, C]
  DType dtype = DType::f32;  // in which the reference computes
};

// text, negative [B, N, D]; ids [B]: whose noise each one gets. Error{non_finite}: a latent is not finite.
Tensor self_sample(const Denoiser& reference, const SelfSampling& how, const Tensor& text, const Tensor& negative, std::span<const Index> ids, const Rng& rng,
                   const Function<void(Index call)>& after = {});

// What the samples of a phase are a function of. `reference`: the hash of its weights; `prompts`: of the prompts' texts, in order.
io::Metadata about_of(const SelfSampling& how, Index phase, const Rng& rng, const std::string& reference, const std::string& prompts);

}  // namespace sspo
