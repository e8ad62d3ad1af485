#include "cli/eval_pictures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "cli/device.hpp"
#include "cli/finite.hpp"
#include "cli/normals.hpp"
#include "cli/progress.hpp"
#include "cli/sample_model.hpp"
#include "cli/signals.hpp"
#include "io/calls.hpp"
#include "sspo/io/dataset.hpp"
#include "sspo/io/hash.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t most_listing = std::uint64_t(256) << 20;

bool is_picture(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg" || ending == ".webp";
}

// The number a name ends in, or -1.
Index number_of(const fs::path& path) {
  const std::string stem = path.stem().string();
  std::size_t begin = stem.size();
  while (begin > 0 && stem[begin - 1] >= '0' && stem[begin - 1] <= '9') --begin;
  return begin == stem.size() || stem.size() - begin > 9 ? -1 : std::stoll(stem.substr(begin));
}

std::string told(const Prompt& p) { return io::printable(p.text, 60) + " (" + p.at + ")"; }

std::vector<std::string> by_number(const std::string& folder, const std::vector<const Prompt*>& prompts, std::size_t all) {
  std::map<Index, std::string> found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (!is_picture(it->path())) continue;
    const Index n = number_of(it->path());
    if (n < 0) continue;
    const std::string path = it->path().string();
    if (const auto [there, added] = found.emplace(n, path); !added)
      io::bad_file({.path = folder}, "two pictures of one number", std::to_string(n) + " once", fs::path(std::min(path, there->second)).filename().string() + " and " + fs::path(std::max(path, there->second)).filename().string());
  }
  if (error) io::bad_file({.path = folder}, "the folder cannot be listed: " + error.message());
  if (found.empty()) io::bad_file({.path = folder}, "no picture whose name ends in a number", "00000.png ... or metadata.jsonl");
  const Index base = found.count(0) ? 0 : 1;
  std::vector<std::string> paths;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const auto it = found.find(Index(i) + base);
    if (it == found.end())
      io::bad_file({.path = folder}, "fewer pictures than prompts", std::to_string(all), std::to_string(found.size()), fmt::format("none has the number {}, for: {}", Index(i) + base, told(*prompts[i])));
    paths.push_back(it->second);
  }
  if (found.size() > all) io::bad_file({.path = folder}, "more pictures than prompts", std::to_string(all), std::to_string(found.size()), "are these the prompts they were drawn for?");
  return paths;
}

std::vector<std::string> by_list(const std::string& folder, const std::vector<Prompt>& prompts, std::size_t all) {
  const std::string list = folder + "/metadata.jsonl";
  io::BadSamples none;
  const std::vector<io::Row> rows = io::parse_metadata(io::File(list).text(most_listing), {.path = list}, none);
  if (rows.size() != all) io::bad_file({.path = list}, rows.size() < all ? "fewer pictures than prompts" : "more pictures than prompts", std::to_string(all), std::to_string(rows.size()));
  std::vector<std::string> paths;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    if (rows[i].text != prompts[i].text)
      io::bad_file({.path = list, .at = ":" + std::to_string(rows[i].line), .field = "text"}, "the picture is of another prompt", told(prompts[i]), io::printable(rows[i].text, 60));
    paths.push_back(folder + "/" + rows[i].picture);
  }
  return paths;
}

// Of one seed. `all`: prompts that the folder must have pictures for, of which these are the first.
std::vector<std::string> found_in(const std::string& folder, const std::vector<Prompt>& prompts, const std::map<std::string, std::size_t>& counts, std::size_t all) {
  std::error_code none;
  if (fs::exists(folder + "/metadata.jsonl", none)) return by_list(folder, prompts, all);
  const bool styles = !counts.empty() && std::all_of(counts.begin(), counts.end(), [&](const auto& c) { return fs::is_directory(folder + "/" + c.first, none); });
  std::vector<const Prompt*> some;
  if (!styles) {
    for (const Prompt& p : prompts) some.push_back(&p);
    return by_number(folder, some, all);
  }
  std::map<std::string, std::vector<std::size_t>> of;
  for (std::size_t i = 0; i < prompts.size(); ++i) of[prompts[i].category].push_back(i);
  std::vector<std::string> paths(prompts.size());
  for (const auto& [style, numbers] : of) {
    some.clear();
    for (const std::size_t i : numbers) some.push_back(&prompts[i]);
    const std::vector<std::string> theirs = by_number(folder + "/" + style, some, counts.at(style));
    for (std::size_t i = 0; i < numbers.size(); ++i) paths[numbers[i]] = theirs[i];
  }
  return paths;
}

}  // namespace

std::uint64_t picture_seed(std::uint64_t seed, Index prompt) { return (Rng(seed) / "eval" / prompt).bits() >> 11; }

std::vector<PromptPicture> drawn_pictures(const ScoreOptions& o, const std::vector<Prompt>& prompts) {
  std::vector<PromptPicture> all;
  for (const std::uint64_t seed : o.seeds)
    for (std::size_t i = 0; i < prompts.size(); ++i) all.push_back({Index(i), prompts[i].text, prompts[i].category, seed, fmt::format("pictures/{}/{:05}.png", seed, i)});
  return all;
}

std::vector<PromptPicture> found_pictures(const ScoreOptions& o, const std::vector<Prompt>& prompts) {
  std::error_code none;
  if (!fs::is_directory(o.pictures, none)) io::bad_file({.path = o.pictures}, "there is no such folder", "a folder of pictures");
  std::map<std::string, std::size_t> counts;  // of categories; empty if a prompt has none
  for (const Prompt& p : prompts) ++counts[p.category];
  if (counts.count("")) counts.clear();
  const std::size_t some = o.limit ? std::min(std::size_t(o.limit), prompts.size()) : prompts.size();
  const std::vector<Prompt> first(prompts.begin(), prompts.begin() + std::ptrdiff_t(some));
  std::vector<PromptPicture> all;
  for (const std::uint64_t seed : o.seeds) {
    const std::string own = o.pictures + "/" + std::to_string(seed);
    if (o.seeds.size() > 1 && !fs::is_directory(own, none)) io::bad_file({.path = own}, "there is no such folder", "the pictures of seed " + std::to_string(seed), {}, "or give one seed, and its pictures in --pictures itself");
    const std::vector<std::string> paths = found_in(fs::is_directory(own, none) ? own : o.pictures, first, counts, prompts.size());
    for (std::size_t i = 0; i < some; ++i) all.push_back({Index(i), first[i].text, first[i].category, seed, paths[i]});
  }
  return all;
}

std::string digest_of(const std::vector<PromptPicture>& pictures) {
  io::Sha256 hash;
  for (const PromptPicture& p : pictures) {
    stop_if_interrupted();
    hash.add(fs::path(p.picture).filename().string() + " ");
    try {
      hash.add(io::File(p.picture));
    } catch (const Error&) {  // told, or passed over, where it is to be scored
    }
  }
  return hash.hex();
}

struct Drawer::Model {
  Device device;
  StableDiffusion sd;
  SchedulerConfig sampler;
};

Drawer::Drawer(const ScoreOptions& o) : o_(o) {
  const SampleOptions& d = o.draw;
  const Device device = device_of(d.device);
  std::optional<SchedulerKind> kind;
  if (!d.scheduler.empty()) kind = scheduler_kind(d.scheduler);
  StableDiffusion sd = load_sample_model(d, {.dtype = dtype_of(d.device), .device = device}, kind);
  if (!o.unet.empty()) sd.unet = load_component<UNet>(o.unet, load_unet_config(o.unet + "/config.json"), {}, {.dtype = dtype_of(d.device), .device = device});
  const SchedulerConfig sampler = kind ? sd.scheduler : as_in_a_pipeline(sd.scheduler);
  const Index step = sd.vae.config().downscale(), own = sd.unet.config().sample_size * step;
  const Index height = d.height ? d.height : own, width = d.width ? d.width : own;
  if (height % step || width % step) fail({.op = "eval", .what = "the size does not fit the autoencoder", .expected = "multiples of " + std::to_string(step), .got = fmt::format("{} x {}", width, height)}, Site{});
  std::error_code none;
  const auto hash = [&](const char* part) {
    if (part == std::string("unet") && !o.unet.empty()) return weights_hash(o.unet);
    return weights_hash(fs::is_regular_file(d.model, none) ? d.model : component_folder(d.model, part), {.variant = d.variant});
  };
  io::Json loras = io::Json::array();
  for (const std::string& lora : d.loras) loras.push_back(io::printable(lora, 4096));
  settings_ = {{"from", "model"}, {"unet", hash("unet")}, {"text_encoder", hash("text_encoder")}, {"vae", hash("vae")}, {"lora", loras}, {"sampler", name_of(sampler.kind)}, {"steps", d.steps},
               {"guidance", d.guidance}, {"eta", d.eta}, {"negative_prompt", io::printable(d.negative_prompt, 4096)}, {"height", height}, {"width", width}, {"rng", d.rng}, {"dtype", d.device.dtype}, {"seeds", o.seeds}};
  model_ = std::make_unique<Model>(Model{device, std::move(sd), sampler});
}

Drawer::~Drawer() = default;

void Drawer::draw(const std::vector<PromptPicture>& pictures) {
  std::vector<const PromptPicture*> missing;
  std::error_code none;
  for (const PromptPicture& p : pictures)
    if (!fs::exists(o_.out + "/" + p.picture, none)) missing.push_back(&p);
  if (missing.empty()) return;
  const Device& device = model_->device;
  const StableDiffusion& sd = model_->sd;
  const SchedulerConfig& sampler = model_->sampler;
  const SampleOptions& d = o_.draw;
  const Scheduler scheduler = make_scheduler(sampler, d.steps, {.eta = d.eta});
  const Index step = sd.vae.config().downscale();
  const Shape shape{1, settings_["height"].get<Index>() / step, settings_["width"].get<Index>() / step, sd.unet.config().in_channels};
  const Tensor negative = sd.encode({d.negative_prompt});
  Index done = Index(pictures.size() - missing.size());
  Progress progress("drawing", Index(pictures.size()), done);
  for (const PromptPicture* p : missing) {
    const std::uint64_t seed = picture_seed(p->seed, p->prompt);
    Normals normals(d.rng, seed);
    const Tensor start = normals.next(shape, device);
    const auto after = [&](Index i, const Tensor& x) {
      stop_if_interrupted();
      require_finite(x, "the latents of " + p->picture, fmt::format("after step {} of {}", i + 1, scheduler.calls()));
    };
    const Tensor z = sample_latents(std::cref(sd.unet), scheduler, start, sd.encode({p->text}), negative,
                                    {.guidance = d.guidance, .noise = [&](Index) { return normals.next(shape, device); }, .after = after});
    const Tensor x = sd.decode(z, d.vae_tiling ? std::optional(VaeTiles{}) : std::nullopt);
    require_finite(x, "the pixels of " + p->picture, "after the autoencoder");
    const std::string path = o_.out + "/" + p->picture;
    if (const std::error_code error = io::make_folders(fs::path(path).parent_path().string()))
      fail({.op = io::printable(path, 4096), .what = "cannot be written: " + error.message(), .kind = ErrorKind::io}, Site{});
    io::write_png(path, io::to_images(x)[0], {{"parameters", fmt::format("{}{}\nSteps: {}, Sampler: {}, CFG scale: {}, Seed: {}, Size: {}x{}, RNG: {}, Version: sspo {}.{}.{}", p->text,
                                                                         d.negative_prompt.empty() ? "" : "\nNegative prompt: " + io::printable(d.negative_prompt, 4096), d.steps, name_of(sampler.kind), d.guidance,
                                                                         seed, settings_["width"].get<Index>(), settings_["height"].get<Index>(), d.rng, version_major, version_minor, version_patch)}});
    progress.update(++done, "");
  }
}

}  // namespace sspo::cli
