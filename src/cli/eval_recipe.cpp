#include "cli/eval_recipe.hpp"

#include <algorithm>
#include <functional>

#include "cli/recipe.hpp"
#include "sspo/nn/params.hpp"

namespace sspo::cli {
namespace {

struct Key {
  const char* name;
  std::function<void(ScoreOptions&, io::Fields&, const char*)> set;
};

Key text(const char* name, std::string& (*of)(ScoreOptions&)) {
  return {name, [of](ScoreOptions& o, io::Fields& f, const char* key) { of(o) = f.text(key); }};
}
Key texts(const char* name, std::vector<std::string>& (*of)(ScoreOptions&)) {
  return {name, [of](ScoreOptions& o, io::Fields& f, const char* key) { of(o) = f.texts(key); }};
}
Key choice(const char* name, std::string& (*of)(ScoreOptions&), std::vector<std::string> among) {
  return {name, [of, among](ScoreOptions& o, io::Fields& f, const char* key) { of(o) = f.choice(key, among); }};
}
Key integer(const char* name, Index& (*of)(ScoreOptions&), Index low, Index high) {
  return {name, [=](ScoreOptions& o, io::Fields& f, const char* key) { of(o) = f.integer(key, low, high); }};
}
Key number(const char* name, double& (*of)(ScoreOptions&), double low, double high) {
  return {name, [=](ScoreOptions& o, io::Fields& f, const char* key) { of(o) = f.number(key, low, high); }};
}

// Ranges are those of the options in verbs.cpp.
const std::vector<Key>& keys() {
  using O = ScoreOptions;
  static const std::vector<Key> all = {
      text("model", [](O& o) -> std::string& { return o.draw.model; }), text("variant", [](O& o) -> std::string& { return o.draw.variant; }), text("unet", [](O& o) -> std::string& { return o.unet; }),
      texts("lora", [](O& o) -> std::vector<std::string>& { return o.draw.loras; }), text("prompts", [](O& o) -> std::string& { return o.prompts; }),
      text("pictures", [](O& o) -> std::string& { return o.pictures; }), texts("scorers", [](O& o) -> std::vector<std::string>& { return o.scorers; }),
      text("weights", [](O& o) -> std::string& { return o.weights; }), text("negative_prompt", [](O& o) -> std::string& { return o.draw.negative_prompt; }),
      choice("scheduler", [](O& o) -> std::string& { return o.draw.scheduler; }, {"ddpm", "ddim", "pndm", "euler", "euler_ancestral", "dpmpp_2m"}),
      integer("steps", [](O& o) -> Index& { return o.draw.steps; }, 1, 100'000), number("guidance", [](O& o) -> double& { return o.draw.guidance; }, 0, 1000),
      number("eta", [](O& o) -> double& { return o.draw.eta; }, 0, 1), integer("height", [](O& o) -> Index& { return o.draw.height; }, 0, 16384),
      integer("width", [](O& o) -> Index& { return o.draw.width; }, 0, 16384), choice("rng", [](O& o) -> std::string& { return o.draw.rng; }, {"philox", "torch-cpu", "torch-cuda"}),
      choice("dtype", [](O& o) -> std::string& { return o.draw.device.dtype; }, {"f32", "bf16"}), integer("batch", [](O& o) -> Index& { return o.draw.batch; }, 1, 1024),
      {"seeds", [](O& o, io::Fields& f, const char* key) { const std::vector<Index> seeds = f.integers(key, 0, std::numeric_limits<Index>::max()); o.seeds.assign(seeds.begin(), seeds.end()); }},
      integer("limit", [](O& o) -> Index& { return o.limit; }, 0, 1'000'000'000), integer("skip_bad", [](O& o) -> Index& { return o.skip_bad; }, 0, 1'000'000'000),
      text("max_memory", [](O& o) -> std::string& { return o.max_memory; })};
  return all;
}

std::string nearest(const std::string& name) {
  Params names = Params::shapes_only();
  for (const Key& k : keys()) names.get(std::string("eval.") + k.name, {}, {});
  return names.nearest(name.substr(0, 128));
}

std::string option_of(std::string key) {
  std::replace(key.begin(), key.end(), '_', '-');
  return key;
}

}  // namespace

bool is_eval_recipe(const std::string& path) {
  const std::vector<TomlValue> all = read_toml(path);
  return std::any_of(all.begin(), all.end(), [](const TomlValue& v) { return v.name.starts_with("eval."); });
}

ScoreOptions with_recipe(const ScoreOptions& given, const std::vector<std::string>& settings) {
  ScoreOptions o = given;
  if (given.recipe.empty()) return o;
  for (const TomlValue& v : read_toml(given.recipe, settings)) {
    const io::Place place{.path = v.at == " --set" ? "--set" : given.recipe, .at = v.at == " --set" ? "" : v.at, .field = "eval"};
    const auto key = std::find_if(keys().begin(), keys().end(), [&](const Key& k) { return v.name == std::string("eval.") + k.name; });
    if (key == keys().end()) io::bad_file({.path = place.path, .at = place.at, .field = v.name}, "unknown key", {}, {}, nearest(v.name));
    if (given.given.count(option_of(key->name))) continue;
    io::Json one = {{key->name, v.value}};
    io::Fields field(one, place);
    key->set(o, field, key->name);
  }
  return o;
}

}  // namespace sspo::cli
