#include "cli/plan_fit.hpp"

#include <fstream>

#include <fmt/format.h>

namespace sspo::cli {
namespace {

constexpr std::uint64_t gibibyte = std::uint64_t(1) << 30;

std::uint64_t machine_bytes() {
  std::ifstream info("/proc/meminfo");
  std::string word;
  std::uint64_t kibibytes = 0;
  while (info >> word)
    if (word == "MemTotal:") info >> kibibytes;
  return kibibytes * 1024;
}

// Settings that save memory, where this recipe has not got them already.
std::vector<std::vector<std::string>> savings(const Recipe& r) {
  std::vector<std::vector<std::string>> all;
  if (r.kind() == judge) return all;
  const Index micro = r.integer("train.micro_batch");
  if (r.integer("train.batch") > 1 && micro != 1) all.push_back({"train.micro_batch=1"});
  if (r.kind() != pretrain_vae && !r.boolean("train.recompute")) all.push_back({"train.recompute=true"});
  if (r.kind() == preference && r.integer("sampling.batch") > 1) all.push_back({"sampling.batch=1"});
  const bool lora = r.has("lora.rank") && r.integer("lora.rank") > 0;
  if (!lora && r.text("optimizer.kind") == "adamw") all.push_back({"optimizer.kind=adamw8bit"});
  if (!lora && !(r.has("train.masters") && r.text("train.masters") == "disk")) all.push_back({"train.dtype=bf16", "train.masters=disk"});
  if (!lora && r.kind() == preference) all.push_back({"lora.rank=64"});
  return all;
}

}  // namespace

std::vector<Place> places_for(const PlanCommand& o, const TrainData& data, std::uint64_t peak) {
  std::vector<Place> places;
  for (const std::uint64_t size : {24, 40, 80})  // a gibibyte is the driver's, its libraries' and the program's
    places.push_back({.name = fmt::format("{} GB card", size), .bytes = (size - 1) * gibibyte, .peak = peak});
  places.push_back({.name = fmt::format("this machine, {:.1f} GiB", double(machine_bytes()) / double(gibibyte)), .bytes = machine_bytes() / 20 * 19, .peak = peak});

  std::uint64_t least = ~std::uint64_t(0);
  for (const Place& p : places) least = std::min(least, p.bytes);
  const Recipe recipe = read_recipe(o.recipe, o.settings);
  std::vector<std::string> settings = o.settings, added;
  for (const std::vector<std::string>& saving : savings(recipe)) {
    if (peak <= least) break;
    if (saving[0].starts_with("lora.")) {  // in place of what went before, but for the batch and recomputation
      settings = o.settings, added.clear();
      for (const char* kept : {"train.micro_batch=1", "train.recompute=true", "sampling.batch=1"}) settings.emplace_back(kept), added.emplace_back(kept);
    }
    settings.insert(settings.end(), saving.begin(), saving.end()), added.insert(added.end(), saving.begin(), saving.end());
    const std::uint64_t now = plan_memory(read_recipe(o.recipe, settings), data, {.cpu = {.threads = o.threads, .isa = o.isa}}).peak;
    peak = std::min(peak, now);
    for (Place& p : places)
      if (!p.fits() && !p.then && now <= p.bytes) p.settings = added, p.then = now;
  }
  return places;
}

}  // namespace sspo::cli
