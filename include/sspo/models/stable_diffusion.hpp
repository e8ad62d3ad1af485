// Stable Diffusion whole: a folder in the diffusers layout (model_index.json and a folder a component), ready to draw.
//   StableDiffusion sd = StableDiffusion::load("stable-diffusion-v1-5");
//   Tensor text = sd.encode({"a watercolour of a lighthouse"}), none = sd.encode({""});
//   Tensor z = sample_latents(std::ref(sd.unet), make_scheduler(sd.scheduler, 20), normal(rng, {1, 64, 64, 4}), text, none, {});
//   write_png("lighthouse.png", io::to_images(sd.decode(z))[0]);
#pragma once
#include "sspo/diffusion/sampling.hpp"
#include "sspo/models/clip_text.hpp"
#include "sspo/models/tokenizer.hpp"
#include "sspo/models/unet.hpp"
#include "sspo/models/vae_tiling.hpp"
#include "sspo/models/weights.hpp"

namespace sspo {

// The folder of one component: DIR/NAME where that holds a config, else DIR itself.
std::string component_folder(const std::string& dir, const std::string& name);

// A component of a pipeline, or one that lies alone: its config and its weights, frozen.
template <class Model>
Model load_component(const std::string& folder, const typename Model::Config& config, const io::WeightsOptions& from, const LoadOptions& options,
                     std::string_view component = {}) {
  Params params = load_params<Model>(config, folder, from, options);
  if (options.changed) options.changed(component, params);
  return Model(params.frozen(), config);
}

struct StableDiffusion {
  ClipTokenizer tokenizer;
  ClipText text_encoder;
  UNet unet;
  Autoencoder vae;
  SchedulerConfig scheduler;

  // Throws Error{file} for whatever is missing, malformed or does not fit; `kind` in place of the model's own sampler.
  static StableDiffusion load(const std::string& dir, const io::WeightsOptions& from = {}, const LoadOptions& options = {},
                              std::optional<SchedulerKind> kind = {});
  Tensor encode(const std::vector<std::string>& prompts) const;  // [B, 77, D], in the weights' dtype
  Tensor decode(const Tensor& latents, std::optional<VaeTiles> tiles = {}) const;  // [B, h, w, 4] scaled -> images [B, H, W, 3] f32 in [-1, 1]
};

}  // namespace sspo
