// Stable Diffusion 1.5 itself, by its configs: every name and shape, without a weight.
#include <algorithm>
#include <map>

#include "models/golden.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

// The path up to its first number, or its first word.
std::string module_of(const std::string& name) {
  std::size_t begin = 0;
  while (begin < name.size()) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    if (name.find_first_not_of("0123456789", begin) >= end) return name.substr(0, end);
    begin = end + 1;
  }
  return name.substr(0, name.find('.'));
}

template <class Model>
void check_component(const char* part, std::size_t tensors, Index parameters) {
  const GoldenJson golden = golden_file("sd15.json"), &expected = golden.at(part);
  const TempFolder folder;
  io::write_file(folder / "config.json", expected.at("config").dump());
  Params params = Params::shapes_only();
  const Model model(params, config_in<Model>(folder.path()));
  CHECK(params.size() == tensors);
  CHECK(params.numel() == parameters);
  CHECK(expected.at("tensors") == tensors);
  CHECK(expected.at("parameters") == parameters);

  std::map<std::string, std::string> lines;  // "NAME [EXTENTS]" by name
  for (const Param& p : params) lines[p.name()] = p.name() + " " + stored_shape(p.shape()).str() + "\n";
  std::map<std::string, std::pair<std::size_t, std::string>> modules;
  for (const auto& [name, line] : lines) {
    auto& [count, text] = modules[module_of(name)];
    ++count;
    text += line;
  }
  CHECK(modules.size() == expected.at("modules").size());
  for (const auto& module : modules) {
    const auto& [count, text] = module.second;
    CAPTURE(module.first);
    CAPTURE(module.second.second);
    REQUIRE(expected.at("modules").contains(module.first));
    CHECK(expected.at("modules").at(module.first) == GoldenJson{count, hash_of(text)});
  }
}

}  // namespace

TEST_CASE("SD-1.5's UNet: names and shapes") { check_component<UNet>("unet", 686, 859'520'964); }
TEST_CASE("SD-1.5's autoencoder: names and shapes") { check_component<Autoencoder>("vae", 248, 83'653'863); }
TEST_CASE("SD-1.5's text encoder: names and shapes") { check_component<ClipText>("text", 196, 123'060'480); }

TEST_CASE("an empty config is the one of diffusers' and transformers' defaults") {
  check_component<UNet>("unet of {}", 686, 872'300'484);
  check_component<Autoencoder>("vae of {}", 92, 563'175);
  check_component<ClipText>("text of {}", 196, 63'165'952);
}
