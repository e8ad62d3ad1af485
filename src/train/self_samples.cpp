#include "sspo/train/self_samples.hpp"

#include <cstdio>

#include "sspo/ops/elementwise.hpp"
#include "sspo/ops/movement.hpp"
#include "sspo/train/checkpoint.hpp"

namespace sspo {
namespace {

std::string exact(double v) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", v);
  return text;
}

}  // namespace

Tensor self_sample(const Denoiser& reference, const SelfSampling& how, const Tensor& text, const Tensor& negative, std::span<const Index> ids, const Rng& rng,
                   const Function<void(Index)>& after) {
  const auto noise = [&](const char* what, Index call) {  // of each sample by its own path: whoever is beside it
    Tensors all;
    for (const Index id : ids) all.push_back(normal(rng / id / what / call, how.latent, text.device()));
    return stack(all, 0);  // [B, h, w, C]
  };
  const Tensor z = sample_latents(reference, make_scheduler(how.scheduler, how.steps, {.eta = how.eta}), noise("start", 0), cast(text, how.dtype), cast(negative, how.dtype),
                                  {.guidance = how.guidance, .noise = [&](Index call) { return noise("step", call); }, .after = [&](Index call, const Tensor&) { if (after) after(call); }});
  if (!all_finite(z))
    fail({.op = "self-sampling", .what = "latents are not finite", .expected = "finite numbers", .got = std::to_string(ids.size()) + " samples, the first of prompt " + std::to_string(ids[0]),
          .hint = "a lower guidance, or train.dtype = \"f32\"", .kind = ErrorKind::non_finite}, Site{});
  return z;
}

io::Metadata about_of(const SelfSampling& how, Index phase, const Rng& rng, const std::string& reference, const std::string& prompts) {
  return {{"phase", std::to_string(phase)}, {"seed", std::to_string(rng.key())}, {"reference", reference}, {"prompts", prompts},
          {"scheduler", write_scheduler_config(how.scheduler)}, {"steps", std::to_string(how.steps)}, {"guidance", exact(how.guidance)}, {"eta", exact(how.eta)},
          {"latent", how.latent.str()}, {"dtype", std::string(name_of(how.dtype))}};
}

}  // namespace sspo
