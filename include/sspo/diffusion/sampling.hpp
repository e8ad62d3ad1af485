// From noise to latents: the loop around a denoiser. It knows the model as a callable alone.
//   Tensor z = sample_latents(unet, make_scheduler(config, 20), x_T, text, negative, {.guidance = 7.5});
#pragma once
#include "sspo/diffusion/guidance.hpp"
#include "sspo/diffusion/scheduler.hpp"

namespace sspo {

// x [B, ...], t [B] f32, text [B, N, D] -> what the model was trained to predict, of x's shape
using Denoiser = Function<Tensor(const Tensor& x, const Tensor& t, const Tensor& text)>;

struct SamplingOptions {
  double guidance = 7.5;          // w of guidance.hpp; at 1 and below the model is called without `negative`
  double guidance_rescale = 0;    // φ of rescale_guided
  Function<Tensor(Index call)> noise = {};  // standard normals of x's shape, for samplers that draw
  Function<void(Index call, const Tensor& x)> after = {};  // sees x after each call: progress, trajectories; may throw
};

// x: standard normals [B, ...] f32; text, negative [B, N, D]. Both halves of guidance go through the model in one batch.
Tensor sample_latents(const Denoiser& model, Scheduler scheduler, Tensor x, const Tensor& text, const Tensor& negative, const SamplingOptions& options);

}  // namespace sspo
