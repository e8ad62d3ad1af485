#include "sspo/diffusion/sampling.hpp"

#include "sspo/ops/create.hpp"
#include "sspo/ops/movement.hpp"

namespace sspo {

Tensor sample_latents(const Denoiser& model, Scheduler scheduler, Tensor x, const Tensor& text, const Tensor& negative, const SamplingOptions& o) {
  const bool guide = o.guidance > 1;
  const Index B = x.dim(0);
  const Tensor context = guide ? cat({negative, text}, 0) : text;  // [2B or B, N, D]
  x = std::move(x) * scheduler.init_noise_sigma();
  for (Index i = 0; i < scheduler.calls(); ++i) {
    const Tensor seen = scheduler.scale_model_input(x, i), shown = guide ? cat({seen, seen}, 0) : seen;
    const Tensor t = full({shown.dim(0)}, scheduler.timesteps()[std::size_t(i)], DType::f32, x.device());
    Tensor out = cast(model(cast(shown, context.dtype()), t, context), x.dtype());
    if (guide) {
      const Tensor unconditional = slice(out, 0, 0, B), conditional = slice(out, 0, B, 2 * B);
      out = guided(unconditional, conditional, o.guidance);
      if (o.guidance_rescale > 0) out = rescale_guided(out, conditional, o.guidance_rescale);
    }
    x = scheduler.step(out, i, x, scheduler.draws(i) ? o.noise(i) : Tensor{});
    if (o.after) o.after(i, x);
  }
  return x;
}

}  // namespace sspo
