#include "cli/finished_run.hpp"

#include <fmt/format.h>

#include <filesystem>

namespace sspo::cli {
namespace {

void say(const std::string& line) { fmt::print(stderr, "{}\n", io::printable(line, 4096)); }

Recipe recipe_of(const std::string& path) {
  Recipe r = read_recipe(path + "/recipe.toml");
  if (r.kind() != preference) r.wrong("objective", "there are no pairs", "an objective of preference training", r.text("objective"));
  std::error_code none;
  if (!std::filesystem::exists(path + "/model", none) && !std::filesystem::exists(path + "/lora", none))
    fail({.op = io::printable(path, 4096), .what = "the run is not finished", .hint = "sspo train --resume auto", .kind = ErrorKind::file}, Site{});
  return r;
}

}  // namespace

FinishedRun::FinishedRun(const std::string& path, int threads, const std::string& isa)
    : recipe(recipe_of(path)), device(Device::cpu({.threads = threads, .isa = isa})), data(open_train_data(recipe, say)), model(make_train_model(recipe, data, device)),
      folder(path), watchdog(0, path), context{.recipe = recipe, .data = data, .model = model, .run = folder, .device = device, .watchdog = watchdog, .say = say} {}

}  // namespace sspo::cli
