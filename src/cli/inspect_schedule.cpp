#include "cli/inspect_schedule.hpp"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/files.hpp"
#include "sspo/base/torch_normal.hpp"
#include "sspo/diffusion/scheduler.hpp"
#include "sspo/io/safetensors.hpp"
#include "sspo/ops/create.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

std::string config_path(const std::string& model) {
  const fs::path name = "scheduler_config.json", folder = model;
  for (const fs::path& path : {folder / "scheduler" / name, folder / name})
    if (fs::exists(path)) return path.string();
  if (fs::is_directory(folder))
    fail({.op = "inspect schedule", .what = "no scheduler_config.json in " + io::printable(model),
          .expected = "DIR/scheduler/scheduler_config.json or DIR/scheduler_config.json"});
  return model;
}

// "1,4,64,64"
Shape shape_of(const std::string& text) {
  const auto wrong = [&]() { fail({.op = "inspect randn", .what = "no shape",
                                   .expected = "extents divided by commas, at most 6, at most 2^29 elements: 1,4,64,64",
                                   .got = io::printable(text)}); };
  std::vector<Index> extents;
  const char *at = text.data(), *const end = at + text.size();
  while (true) {
    Index extent = 0;
    const auto [next, error] = std::from_chars(at, end, extent);
    if (error != std::errc{} || extent < 0 || extents.size() == std::size_t(max_rank)) wrong();
    extents.push_back(extent);
    if (next == end) break;
    if (*next != ',') wrong();
    at = next + 1;
  }
  const Shape shape{std::span<const Index>(extents)};
  if (shape.numel() > Index(1) << 29) wrong();
  return shape;
}

Tensor noise_of(const std::string& rng, std::uint64_t seed, const Shape& shape) {
  if (rng == "philox") return normal(Rng{seed} / "randn", shape);
  if (rng == "torch-cpu") return Tensor::from(torch_cpu_normal(seed, shape), shape);
  if (rng == "torch-cuda") return Tensor::from(torch_cuda_normal(seed, shape), shape);
  fail({.op = "inspect randn", .what = "no such generator", .expected = "philox, torch-cpu, torch-cuda",
        .got = io::printable(rng)});
}

}  // namespace

void inspect_schedule(const InspectScheduleOptions& o) {
  std::optional<SchedulerKind> kind;
  if (!o.scheduler.empty()) kind = scheduler_kind(o.scheduler);
  const SchedulerConfig config = load_scheduler_config(config_path(o.model), kind);
  const Scheduler s = make_scheduler(config, o.steps);
  if (!o.json) {
    fmt::print("{}, {} steps, {} model calls, init_noise_sigma {}\n", name_of(config.kind), o.steps, s.calls(), s.init_noise_sigma());
    for (std::size_t i = 0; i < s.timesteps().size(); ++i)
      fmt::print("{:>5} {:>12} {}\n", i, s.timesteps()[i], s.sigmas().empty() ? "" : fmt::format("{:>14}", s.sigmas()[i]));
    return;
  }
  nlohmann::ordered_json json = {{"scheduler", name_of(config.kind)}, {"steps", o.steps}, {"timesteps", nlohmann::ordered_json::array()}};
  const bool fractional = config.kind == SchedulerKind::euler || config.kind == SchedulerKind::euler_ancestral;
  for (const float t : s.timesteps()) json["timesteps"].push_back(fractional ? nlohmann::ordered_json(t) : nlohmann::ordered_json(Index(t)));
  json["sigmas"] = s.sigmas();
  json["init_noise_sigma"] = s.init_noise_sigma();
  fmt::print("{}\n", json.dump());
}

void inspect_randn(const InspectRandnOptions& o) {
  check_output(o.out, o.force);
  const Tensor noise = noise_of(o.rng, o.seed, shape_of(o.shape));
  io::save_safetensors(o.out, {{"noise", noise}}, {{"rng", o.rng}, {"seed", std::to_string(o.seed)}});
}

}  // namespace sspo::cli
