#include "cli/sample.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "cli/convert.hpp"
#include "cli/device.hpp"
#include "cli/files.hpp"
#include "cli/finite.hpp"
#include "cli/layout.hpp"
#include "cli/lora.hpp"
#include "cli/progress.hpp"
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

// Two outdated settings that diffusers' StableDiffusionPipeline replaces in the sampler of a folder it loads.
SchedulerConfig as_in_a_pipeline(SchedulerConfig c) {
  c.steps_offset = 1;
  if (c.kind == SchedulerKind::ddpm || c.kind == SchedulerKind::ddim) c.clip_sample = false;
  return c;
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

// The last bits of a product depend on its number of rows. So that a picture is the same whatever is drawn beside it, the model
// sees each alone, both halves of guidance in one call; on a CPU larger calls are no quicker.
Denoiser each_alone(const UNet& unet, Index pictures) {
  return [&unet, pictures](const Tensor& x, const Tensor& t, const Tensor& text) {
    const auto of = [&](const Tensor& all, Index i) {  // row i of each half
      Tensors parts;
      for (Index row = i; row < all.dim(0); row += pictures) parts.push_back(slice(all, 0, row, row + 1));
      return cat(parts, 0);
    };
    std::vector<Tensors> halves(std::size_t(x.dim(0) / pictures));
    for (Index i = 0; i < pictures; ++i) {
      const Tensor out = unet(of(x, i), of(t, i), of(text, i));
      for (std::size_t h = 0; h < halves.size(); ++h) halves[h].push_back(slice(out, 0, Index(h), Index(h) + 1));
    }
    Tensors all;
    for (const Tensors& half : halves) all.insert(all.end(), half.begin(), half.end());
    return cat(all, 0);
  };
}

// A folder or a single file, with its low-rank changes.
StableDiffusion load_model(const SampleOptions& o, LoadOptions options, std::optional<SchedulerKind> kind) {
  std::vector<std::pair<Lora, double>> loras;  // small files first
  for (const std::string& text : o.loras) {
    const LoraArgument a = lora_argument(text);
    loras.emplace_back(open_lora(a.path), a.scale);
  }
  std::vector<LoraChange> changes(loras.size());
  options.changed = [&](std::string_view component, Params& params) {
    for (std::size_t i = 0; i < loras.size(); ++i)
      for (const auto& [name, part] : {std::pair{"unet", LoraPart::unet}, {"text_encoder", LoraPart::text_encoder}})
        if (component == name) add_lora(loras[i].first, loras[i].second, part, params, changes[i]);
  };
  StableDiffusion sd = fs::is_regular_file(o.model) ? load_pipeline(open_single_file(o.model, o.file), tokenizer_for(o.model, o.tokenizer), options, kind)
                                                    : StableDiffusion::load(o.model, {.variant = o.variant}, options, kind);
  for (std::size_t i = 0; i < loras.size(); ++i) {
    require_some(changes[i], loras[i].first);
    fmt::print(stderr, "{}\n", lora_text(loras[i].first, loras[i].second, changes[i]));
  }
  return sd;
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
  const StableDiffusion sd = load_model(o, {.dtype = dtype_of(o.device), .device = device}, kind);
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
