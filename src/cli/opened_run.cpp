#include "cli/opened_run.hpp"

#include <fmt/format.h>

#include <filesystem>

namespace sspo::cli {
namespace {

void say(const std::string& line) { fmt::print(stderr, "{}\n", io::printable(line, 4096)); }

Recipe recipe_of(const std::string& path) {
  Recipe r = read_recipe(path + "/recipe.toml");
  if (r.kind() != preference) r.wrong("objective", "there are no pairs", "an objective of preference training", r.text("objective"));
  return r;
}

bool is_finished(const std::string& path, Ended ended) {
  std::error_code none;
  if (std::filesystem::exists(path + "/model", none) || std::filesystem::exists(path + "/lora", none)) return true;
  if (ended == Ended::must_have) fail({.op = io::printable(path, 4096), .what = "the run is not finished", .hint = "sspo train --resume auto", .kind = ErrorKind::file}, Site{});
  return false;
}

}  // namespace

OpenedRun::OpenedRun(const std::string& path, const Device& where, Ended ended)
    : recipe(recipe_of(path)), finished(is_finished(path, ended)), device(where), data(open_train_data(recipe, say)),
      model(make_train_model(recipe, data, device)), folder(path), watchdog(0, path),
      context{.recipe = recipe, .data = data, .model = model, .run = folder, .device = device, .watchdog = watchdog, .say = say} {}

}  // namespace sspo::cli
