#include "cli/sample.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <functional>

#include "cli/device.hpp"
#include "cli/layout.hpp"
#include "cli/normals.hpp"
#include "cli/progress.hpp"
#include "cli/signals.hpp"
#include "sspo/io/image.hpp"
#include "sspo/io/safetensors.hpp"
#include "sspo/models/stable_diffusion.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

// Where a run starts: unit normals, the text's states, and the noise of later steps.
struct Start {
  Tensor latents;         // [B, h, w, C]
  Tensor text, negative;  // [B, N, D]
  std::function<Tensor(Index call)> noise;
};

std::vector<std::string> prompts_of(const SampleOptions& o) {
  std::vector<std::string> prompts;
  if (o.prompts_file.empty()) {
    prompts.assign(std::size_t(o.images), o.prompt);
    return prompts;
  }
  const std::string text = io::File(o.prompts_file).text(64u << 20);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) prompts.insert(prompts.end(), std::size_t(o.images), line);
    at = end + 1;
  }
  if (prompts.empty()) io::bad_file({.path = o.prompts_file}, "no prompt", "a prompt a line");
  return prompts;
}

Start start_from_prompt(const SampleOptions& o, const StableDiffusion& sd, const std::vector<std::string>& prompts, const Device& device) {
  const Index step = sd.vae.config().downscale(), own = sd.unet.config().sample_size * step;
  const Index height = o.height ? o.height : own, width = o.width ? o.width : own;
  if (height % step || width % step)
    fail({.op = "sample", .what = "the size does not fit the autoencoder", .expected = "multiples of " + std::to_string(step), .got = fmt::format("{} x {}", width, height)}, Site{});
  const Index B = Index(prompts.size());
  const Shape shape{B, height / step, width / step, sd.unet.config().in_channels};
  auto normals = std::make_shared<Normals>(o.rng, o.seed);
  Start start;
  start.latents = normals->next(shape, device);
  start.noise = [normals, shape, device](Index) { return normals->next(shape, device); };
  start.text = sd.encode(prompts);
  start.negative = sd.encode(std::vector<std::string>(prompts.size(), o.negative_prompt));
  return start;
}

Tensor step_of(const Tensor& noise, Index call) { return to_nhwc(reshape(slice(noise, 0, call, call + 1), {noise.dim(1), noise.dim(2), noise.dim(3), noise.dim(4)})); }

// Tensors latents [B, C, h, w], encoder_hidden_states, negative_encoder_hidden_states; step_noise [S, B, C, h, w].
Start start_from_file(const SampleOptions& o, DType dtype, const Device& device) {
  const io::Safetensors file(o.latents);
  const auto load = [&](const char* name, int rank) {
    const Tensor x = file.load(name, device);
    if (x.rank() != rank || !is_floating(x.dtype()))
      io::bad_file({.path = o.latents, .field = name}, "the tensor does not fit", fmt::format("floating point, {} axes", rank), x.str());
    return x;
  };
  Start start;
  start.latents = to_nhwc(cast(load("latents", 4), DType::f32));
  start.text = cast(load("encoder_hidden_states", 3), dtype);
  start.negative = o.guidance > 1 ? cast(load("negative_encoder_hidden_states", 3), dtype) : start.text;
  for (const Tensor* states : {&start.text, &start.negative})
    if (states->dim(0) != start.latents.dim(0))
      io::bad_file({.path = o.latents}, "the batches differ", fmt::format("{} rows of text states", start.latents.dim(0)), states->str());
  if (file.find("step_noise")) {
    const Tensor noise = cast(load("step_noise", 5), DType::f32);
    start.noise = [noise](Index call) { return step_of(noise, call); };
  }
  return start;
}

// What a picture was made with, in the form other programs read.
std::string parameters_of(const SampleOptions& o, const std::string& prompt, const Scheduler& s, const io::Image& picture, const std::string& hash) {
  std::string text = prompt;
  if (!o.negative_prompt.empty()) text += "\nNegative prompt: " + o.negative_prompt;
  return text + fmt::format("\nSteps: {}, Sampler: {}, CFG scale: {}, Seed: {}, Size: {}x{}, Model hash: {}, RNG: {}, Version: sspo {}.{}.{}", o.steps,
                            name_of(s.config().kind), o.guidance, o.seed, picture.width, picture.height, hash, o.rng, version_major, version_minor, version_patch);
}

std::string numbered(const std::string& path, std::size_t i) {
  const fs::path p = path;
  return (p.parent_path() / (p.stem().string() + "-" + std::to_string(i + 1) + p.extension().string())).string();
}

}  // namespace

void sample(const SampleOptions& o) {
  if (o.out.empty() && o.out_latents.empty())
    fail({.op = "sample", .what = "nowhere to put the result", .hint = "--out PICTURE.png, --out-latents FILE.safetensors, or both"}, Site{});
  for (const std::string& path : {o.out, o.out_latents})
    if (!path.empty()) refuse_existing(path, o.force);
  const Device device = device_of(o.device);
  std::optional<SchedulerKind> kind;
  if (!o.scheduler.empty()) kind = scheduler_kind(o.scheduler);
  const StableDiffusion sd = StableDiffusion::load(o.model, {.variant = o.variant}, {.dtype = dtype_of(o.device), .device = device}, kind);
  const std::vector<std::string> prompts = prompts_of(o);
  const Start start = o.latents.empty() ? start_from_prompt(o, sd, prompts, device) : start_from_file(o, dtype_of(o.device), device);
  const Scheduler scheduler = make_scheduler(sd.scheduler, o.steps, {.eta = o.eta});
  for (Index i = 0; i < scheduler.calls(); ++i)
    if (scheduler.draws(i) && !start.noise) io::bad_file({.path = o.latents, .field = "step_noise"}, "the sampler draws noise", "[steps, B, C, h, w]", "none");

  Tensor z;           // [B, h, w, C]
  Tensors trajectory; // after each call, for --out-latents
  {
    Progress progress("sampling", scheduler.calls());
    const auto after = [&](Index call, const Tensor& x) {
      stop_if_interrupted();
      progress.update(call + 1, "");
      if (!o.out_latents.empty()) trajectory.push_back(to_nchw(x));
    };
    z = sample_latents(std::cref(sd.unet), scheduler, start.latents, start.text, start.negative, {.guidance = o.guidance, .noise = start.noise, .after = after});
  }
  if (!o.out_latents.empty())
    io::save_safetensors(o.out_latents, {{"latents", to_nchw(z)}, {"trajectory", stack(trajectory, 0)}}, {{"seed", std::to_string(o.seed)}, {"rng", o.rng}});
  if (o.out.empty()) return;
  std::vector<io::Image> pictures;
  for (Index b = 0; b < z.dim(0); ++b) {  // one at a time: the autoencoder takes most memory
    stop_if_interrupted();
    pictures.push_back(io::to_images(sd.decode(slice(z, 0, b, b + 1)))[0]);
  }
  const std::string hash = weights_hash(component_folder(o.model, "unet"), {.variant = o.variant});
  nlohmann::json summary = {{"seed", o.seed}, {"rng", o.rng}, {"sampler", name_of(scheduler.config().kind)}, {"steps", o.steps}, {"guidance", o.guidance}, {"model_hash", hash}, {"files", nlohmann::json::array()}};
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const std::string path = pictures.size() == 1 ? o.out : numbered(o.out, i);
    const std::string prompt = o.latents.empty() ? prompts[i] : "";
    io::write_png(path, pictures[i], {{"parameters", parameters_of(o, prompt, scheduler, pictures[i], hash)}});
    summary["files"].push_back(path);
  }
  if (pictures.size() > 1) {
    Index columns = 1;
    while (columns * columns < Index(pictures.size())) ++columns;
    io::write_png(o.out, io::grid(pictures, columns, 2));
  }
  if (o.json) fmt::print("{}\n", summary.dump());
  else fmt::print(stderr, "{} (seed {}, {})\n", o.out, o.seed, o.rng);
}

}  // namespace sspo::cli
