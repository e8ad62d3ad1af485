#include "cli/sample.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "cli/device.hpp"
#include "cli/files.hpp"
#include "cli/finite.hpp"
#include "cli/layout.hpp"
#include "cli/progress.hpp"
#include "cli/sample_model.hpp"
#include "cli/sample_start.hpp"
#include "cli/signals.hpp"
#include "cli/vae_tiles.hpp"
#include "io/json.hpp"
#include "models/text_cleanup.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

std::string numbered(const std::string& path, Index i) {
  const fs::path p = path;
  return (p.parent_path() / (p.stem().string() + "-" + std::to_string(i + 1) + p.extension().string())).string();
}

// A picture's file: PICTURE.png, or PICTURE-1.png ... where there are several and PICTURE.png is their grid.
std::string file_of(const SampleOptions& o, Index picture, Index size) { return size == 1 ? o.out : numbered(o.out, picture); }

void check_outputs(const SampleOptions& o, Index size) {
  if (!o.out_latents.empty()) check_output(o.out_latents, o.force);
  if (o.out.empty()) return;
  check_output(o.out, o.force);
  for (Index i = 0; i < size; ++i) check_output(file_of(o, i, size), o.force);
}

// A prompt is any bytes; what is written is UTF-8 without NUL.
std::string prompt_text(const std::string& prompt) {
  std::string text = clip::valid_utf8(prompt);
  std::replace(text.begin(), text.end(), '\0', ' ');
  return text;
}

// What a picture was made with, in the form other programs read.
std::string parameters_of(const SampleOptions& o, const Pictures& all, Index i, SchedulerKind sampler, const io::Image& picture, const std::string& hash) {
  std::string text = all.prompts.empty() ? "" : prompt_text(all.prompts[std::size_t(i)]);
  if (!o.negative_prompt.empty()) text += "\nNegative prompt: " + prompt_text(o.negative_prompt);
  text += fmt::format("\nSteps: {}, Sampler: {}, CFG scale: {}, Seed: {}, Size: {}x{}, Model hash: {}, RNG: {}", o.steps, name_of(sampler), o.guidance, o.seed,
                      picture.width, picture.height, hash, o.rng);
  if (all.size > 1) text += fmt::format(", Batch size: {}, Batch pos: {}", all.size, i);
  return text + fmt::format(", Version: sspo {}.{}.{}", version_major, version_minor, version_patch);
}

// The latents of a run, [B, C, h, w], as its batches come.
struct Latents {
  Tensors last;                     // one a batch
  std::vector<Tensors> trajectory;  // [call][batch]
  void save(const SampleOptions& o) const {
    Tensors calls;
    for (const Tensors& batches : trajectory) calls.push_back(cat(batches, 0));
    io::save_safetensors(o.out_latents, {{"latents", cat(last, 0)}, {"trajectory", stack(calls, 0)}}, {{"seed", std::to_string(o.seed)}, {"rng", o.rng}});
  }
};

}  // namespace

void sample(const SampleOptions& o) {
  check_outputs(o, 0);  // before gigabytes are read; those of each picture once their number is known
  const Device device = device_of(o.device);
  std::optional<SchedulerKind> kind;
  if (!o.scheduler.empty()) kind = scheduler_kind(o.scheduler);
  const StableDiffusion sd = load_sample_model(o, {.dtype = dtype_of(o.device), .device = device}, kind);
  const Pictures all = o.latents.empty() ? pictures_from_prompts(o, sd, device) : pictures_from_file(o, dtype_of(o.device), device);
  check_outputs(o, all.size);
  const SchedulerConfig settings = kind ? sd.scheduler : as_in_a_pipeline(sd.scheduler);
  const bool replaced = settings.steps_offset != sd.scheduler.steps_offset || settings.clip_sample != sd.scheduler.clip_sample;
  const Scheduler scheduler = make_scheduler(settings, o.steps, {.eta = o.eta});
  for (Index i = 0; i < scheduler.calls(); ++i)
    if (scheduler.draws(i) && i >= all.noises)
      io::bad_file({.path = o.latents, .field = "step_noise"}, fmt::format("the sampler draws noise at step {}", i + 1), fmt::format("{} steps or more", i + 1), std::to_string(all.noises));
  if (o.vae_slicing) fmt::print(stderr, "--vae-slicing: pictures go through the autoencoder one at a time, as always here: no bit changes\n");
  if (o.vae_tiling) fmt::print(stderr, "--vae-tiling: {}\n", tiles_note(sd.vae.config(), all.rows * sd.vae.config().downscale(), all.columns * sd.vae.config().downscale(), dtype_of(o.device), false));
  const std::string hash = o.out.empty() ? "" : weights_hash(component_folder(o.model, "unet"), {.variant = o.variant});

  Latents latents{{}, std::vector<Tensors>(std::size_t(scheduler.calls()))};
  std::vector<io::Image> pictures;
  io::Json files = io::Json::array();
  Progress progress("sampling", scheduler.calls() * ((all.size + o.batch - 1) / o.batch));
  for (Index first = 0, call = 0; first < all.size; first += o.batch) {
    const Start start = all.start(first, std::min(o.batch, all.size - first));
    const auto after = [&](Index i, const Tensor& x) {
      stop_if_interrupted();
      require_finite(x, "the latents", fmt::format("after step {} of {}", i + 1, scheduler.calls()));
      progress.update(++call, "");
      if (!o.out_latents.empty()) latents.trajectory[std::size_t(i)].push_back(to_nchw(x));
    };
    const Tensor z = sample_latents(each_alone(sd.unet, start.latents.dim(0)), scheduler, start.latents, start.text, start.negative, {.guidance = o.guidance, .noise = start.noise, .after = after});
    if (!o.out_latents.empty()) latents.last.push_back(to_nchw(z));
    for (Index b = 0; !o.out.empty() && b < z.dim(0); ++b) {  // one at a time: the autoencoder takes most memory
      stop_if_interrupted();
      const Tensor x = sd.decode(slice(z, 0, b, b + 1), o.vae_tiling ? std::optional(VaeTiles{}) : std::nullopt);
      require_finite(x, "the pixels of picture " + std::to_string(first + b + 1), "after the autoencoder");
      pictures.push_back(io::to_images(x)[0]);
      const std::string path = file_of(o, first + b, all.size);
      io::write_png(path, pictures.back(), {{"parameters", parameters_of(o, all, first + b, scheduler.config().kind, pictures.back(), hash)}});
      files.push_back(io::printable(path, 4096));
    }
  }
  if (!o.out_latents.empty()) latents.save(o);
  if (pictures.size() > 1) {
    Index columns = 1;
    while (columns * columns < Index(pictures.size())) ++columns;
    io::write_png(o.out, io::grid(pictures, columns, 2));
  }
  if (replaced)
    fmt::print(stderr, "as in diffusers' pipeline, steps_offset is 1 and nothing is clipped; --scheduler {} takes scheduler_config.json as it is\n", name_of(settings.kind));
  if (o.json)
    fmt::print("{}\n", io::Json{{"seed", o.seed}, {"rng", o.rng}, {"sampler", name_of(scheduler.config().kind)}, {"steps", o.steps}, {"guidance", o.guidance},
                                {"model_hash", hash}, {"out", io::printable(o.out, 4096)}, {"out_latents", io::printable(o.out_latents, 4096)}, {"files", files}}.dump());
  else
    fmt::print(stderr, "{} (seed {}, {})\n", io::printable(o.out.empty() ? o.out_latents : o.out, 4096), o.seed, o.rng);
}

}  // namespace sspo::cli
