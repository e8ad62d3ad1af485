#include "cli/plan_eval.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "cli/eval_recipe.hpp"
#include "cli/named_scorers.hpp"
#include "cli/plan_flops.hpp"
#include "sspo/diffusion/scheduler.hpp"
#include "sspo/eval/prompts.hpp"
#include "sspo/eval/scorer.hpp"
#include "sspo/models/stable_diffusion.hpp"
#include "sspo/tensor/rehearsal.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

// A transformer of these shapes over N tokens: 24 N d² + 4 N² d a layer, a product counting twice.
double tower(double layers, double width, double tokens) { return layers * (24 * tokens * width * width + 4 * tokens * tokens * width); }

// FLOP of a picture and its prompt, by the published shapes.
double scorer_flops(std::string_view name) {
  const double vit_h = tower(32, 1280, 257), vit_l = tower(24, 1024, 257);
  if (name == "pickscore" || name.starts_with("hpsv2")) return vit_h + tower(24, 1024, 77);
  if (name == "aesthetic") return vit_l;
  if (name == "clipscore") return vit_l + tower(12, 768, 77);
  if (name == "imagereward") return tower(24, 1024, 197) + tower(12, 768, 35);
  return 0;
}

struct Drawing {
  bool there = false;       // the model
  Index height = 0, width = 0, calls = 0;
  double flops = 0;         // of a picture
  std::uint64_t weights = 0, peak = 0;
};

template <class Config>
Config config_of(const std::string& model, const char* part, Config (*load)(const std::string&)) {
  return load(component_folder(model, part) + "/config.json");
}

Drawing plan_drawing(const ScoreOptions& o) {
  Drawing d;
  std::error_code none;
  d.there = fs::is_directory(o.draw.model, none);
  UNetConfig unet_config;
  VaeConfig vae_config;
  ClipTextConfig text_config;
  SchedulerConfig sampler{.kind = SchedulerKind::pndm, .skip_prk_steps = true};
  if (d.there) {
    unet_config = config_of<UNetConfig>(o.draw.model, "unet", load_unet_config), vae_config = config_of<VaeConfig>(o.draw.model, "vae", load_vae_config);
    text_config = config_of<ClipTextConfig>(o.draw.model, "text_encoder", load_clip_text_config);
    sampler = load_scheduler_config(o.draw.model + "/scheduler/scheduler_config.json", o.draw.scheduler.empty() ? std::nullopt : std::optional(scheduler_kind(o.draw.scheduler)));
  } else if (!o.draw.scheduler.empty()) {
    sampler.kind = scheduler_kind(o.draw.scheduler);
  }
  const Index step = vae_config.downscale(), own = unet_config.sample_size * step;
  d.height = o.draw.height ? o.draw.height : own, d.width = o.draw.width ? o.draw.width : own;
  d.calls = make_scheduler(sampler, o.draw.steps, {.eta = o.draw.eta}).calls();

  const Device device = rehearsal_device();
  const DType dtype = o.draw.device.dtype == "bf16" ? DType::bf16 : DType::f32;
  Params a(device, Rng{1}), b(device, Rng{2}), c(device, Rng{3});
  const UNet unet(a, unet_config);
  const Autoencoder vae(b, vae_config);
  const ClipText text(c, text_config);
  for (Params* p : {&a, &b, &c}) p->compute_in(dtype), d.weights += std::uint64_t(p->numel()) * size_of(dtype);
  const Index n = o.draw.guidance > 1 ? 2 : 1;
  const auto imagine = [&](const Shape& shape) { return cast(zeros(shape, DType::f32, device), dtype); };
  Trace trace(device);
  const std::size_t before = device.memory().in_use;
  device.reset_peak_memory();
  const Shape latents{n, d.height / step, d.width / step, unet_config.in_channels};
  unet(imagine(latents), full({n}, 1, DType::f32, device), imagine({n, text_config.max_position_embeddings, text_config.hidden_size}));
  const double denoise = flops_of(trace);
  vae.decode(imagine({1, latents[1], latents[2], vae_config.latent_channels}));
  text(zeros({1, text_config.max_position_embeddings}, DType::i64, device));
  d.flops = double(d.calls) * denoise + flops_of(trace) - denoise;
  d.peak = d.weights + device.memory().peak - before;
  return d;
}

std::string sized(const std::string& path) {
  std::error_code none;
  return fs::exists(path, none) ? fmt::format("there, {:.2f} GiB", double(bytes_under(path)) / double(1 << 30)) : "not there";
}

}  // namespace

void plan_eval(const PlanCommand& command) {
  const ScoreOptions o = with_recipe({.draw = {}, .unet = {}, .recipe = command.recipe, .prompts = {}, .pictures = {}, .scorers = {}, .out = {}, .max_memory = {}, .given = {}}, command.settings);
  std::error_code none;
  std::optional<PromptSet> set;
  if (!o.prompts.empty() && fs::exists(o.prompts, none)) set = read_prompts(o.prompts);
  std::uint64_t prompts = set ? set->prompts.size() : std::uint64_t(command.samples ? command.samples : o.limit);
  if (o.limit) prompts = std::min<std::uint64_t>(prompts, std::uint64_t(o.limit));
  const std::uint64_t pictures = prompts * o.seeds.size();
  const bool draws = o.pictures.empty();
  const Drawing d = draws ? plan_drawing(o) : Drawing{};
  const std::uint64_t picture_bytes = std::uint64_t(3 * d.height * d.width), disk = draws ? pictures * picture_bytes : 0;
  double scoring = 0;
  std::uint64_t largest = 0, together = 0;
  io::Json scorers = io::Json::array();
  for (const std::string& name : o.scorers) {
    const std::string path = o.weights + "/" + name;
    const std::uint64_t bytes = bytes_under(path);
    std::string needs = "no scorer of this name";
    for (const ScorerKind& k : scorer_kinds())
      if (k.name == name) needs = k.needs;
    scoring += scorer_flops(name), largest = std::max(largest, bytes), together += bytes;
    scorers.push_back({{"name", name}, {"path", path}, {"there", fs::exists(path, none)}, {"bytes", bytes}, {"needs", needs}, {"flop", scorer_flops(name)}});
  }
  if (command.json) {
    fmt::print("{}\n", io::Json{{"prompts", {{"path", o.prompts}, {"there", bool(set)}, {"n", prompts}}}, {"seeds", o.seeds}, {"pictures", pictures},
                                {"model", {{"path", o.draw.model}, {"there", d.there}, {"height", d.height}, {"width", d.width}, {"calls", d.calls}, {"weights_bytes", d.weights}, {"peak_bytes", d.peak}}},
                                {"scorers", scorers}, {"disk_bytes", disk}, {"flop", {{"drawing", d.flops * double(pictures)}, {"scoring", scoring * double(pictures)}, {"drawing_a_picture", d.flops}, {"scoring_a_picture", scoring}}}}.dump(2));
    return;
  }
  const auto gib = [](std::uint64_t bytes) { return fmt::format("{:.2f} GiB", double(bytes) / double(1 << 30)); };
  fmt::print("prompts     {}: {}\n", io::printable(o.prompts, 200), set ? fmt::format("{} ({})", set->prompts.size(), title_of(set->form)) : prompts ? fmt::format("not there; planned for {}", prompts) : "not there; --samples N plans for so many");
  fmt::print("pictures    {} prompts x {} seeds = {}{}\n", prompts, o.seeds.size(), pictures, draws ? fmt::format(" of {} x {}", d.width, d.height) : ", from " + io::printable(o.pictures, 200));
  if (draws) {
    fmt::print("model       {}: {}\n", io::printable(o.draw.model, 200), d.there ? sized(o.draw.model) : "no folder of that name; planned for Stable Diffusion 1.5's shapes");
    fmt::print("drawing     {}, {} steps ({} calls of the UNet), guidance {}\n", o.draw.scheduler.empty() ? "the model's own sampler" : o.draw.scheduler, o.draw.steps, d.calls, o.draw.guidance);
  }
  fmt::print("scorers\n");
  for (const io::Json& s : scorers) {
    fmt::print("  {:<12}{}: {}\n", s["name"].get<std::string>(), io::printable(s["path"].get<std::string>(), 200), sized(s["path"].get<std::string>()));
    if (!s["there"].get<bool>()) fmt::print("              needs {}\n", s["needs"].get<std::string>());
  }
  fmt::print("memory\n");
  if (draws) fmt::print("  drawing     {} ({} weights in {}, and a call)\n", gib(d.peak), gib(d.weights), o.draw.device.dtype);
  if (std::any_of(scorers.begin(), scorers.end(), [](const io::Json& s) { return s["there"].get<bool>(); }))
    fmt::print("  scoring     {} for the largest scorer's weights, {} for all at once (as their files have them; of those that are there)\n", gib(largest), gib(together));
  else
    fmt::print("  scoring     known once the scorers' weights are there\n");
  if (draws) fmt::print("disk\n  pictures    at most {}, {:.2f} MiB each; as PNG about half\n", gib(disk), double(picture_bytes) / double(1 << 20));
  fmt::print("arithmetic\n");
  if (draws) fmt::print("  drawing     {:.3f} PFLOP, {:.3f} TFLOP a picture\n", d.flops * double(pictures) * 1e-15, d.flops * 1e-12);
  fmt::print("  scoring     {:.3f} PFLOP, {:.3f} TFLOP a picture, by the scorers' published shapes\n", scoring * double(pictures) * 1e-15, scoring * 1e-12);
}

}  // namespace sspo::cli
