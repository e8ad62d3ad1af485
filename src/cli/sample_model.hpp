// The model of `sspo sample` and of whoever else draws as it does.
#pragma once
#include <optional>

#include "cli/sample.hpp"
#include "sspo/models/stable_diffusion.hpp"

namespace sspo::cli {

// A folder or a single file, with its low-rank changes, which are told on stderr.
StableDiffusion load_sample_model(const SampleOptions& o, LoadOptions options, std::optional<SchedulerKind> kind);

// Two outdated settings that diffusers' StableDiffusionPipeline replaces in the sampler of a folder it loads.
SchedulerConfig as_in_a_pipeline(SchedulerConfig c);

// The last bits of a product depend on its number of rows. So that a picture is the same whatever is drawn beside it, the model
// sees each alone, both halves of guidance in one call; on a CPU larger calls are no quicker.
Denoiser each_alone(const UNet& unet, Index pictures);

}  // namespace sspo::cli
