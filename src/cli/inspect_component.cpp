// A component's folder: config.json and weights, which must fit each other.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cli/inspection.hpp"
#include "sspo/models/clip_text.hpp"
#include "sspo/models/unet.hpp"
#include "sspo/models/vae.hpp"
#include "sspo/models/weights.hpp"

namespace sspo::cli {
namespace {

// "model.fp16.safetensors" -> "fp16", "model.safetensors" -> "", others -> none. Shards follow from their index.
std::optional<std::string> variant_of(std::string_view name) {
  for (const std::string_view stem : {"diffusion_pytorch_model", "pytorch_model", "model"}) {
    if (!name.starts_with(stem)) continue;
    std::string_view rest = name.substr(stem.size());
    for (const auto& [before, after] : std::array<std::array<std::string_view, 2>, 4>{{{".safetensors.index", ".json"}, {".safetensors", ".index.json"}, {"", ".safetensors"}, {"", ".bin"}}}) {
      if (rest.size() < before.size() + after.size() || !rest.starts_with(before) || !rest.ends_with(after)) continue;
      std::string_view variant = rest.substr(before.size(), rest.size() - before.size() - after.size());
      if (variant.empty()) return "";
      if (variant[0] == '.' && variant.find("-of-") == variant.npos) return std::string(variant.substr(1));
    }
  }
  return {};
}

template <class Model>
void check(const typename Model::Config& config, const std::string& folder, const io::Weights& weights) {
  Params wanted = Params::shapes_only();
  Model(wanted, config);
  check_weights(wanted, weights, folder);
}

std::string names_of(const std::vector<std::string>& variants) {
  std::string text;
  for (const std::string& v : variants) text += (text.empty() ? "" : ", ") + (v.empty() ? "plain" : io::printable(v));
  return text;
}

}  // namespace

io::Json variants_json(const ComponentWeights& w) {
  io::Json list = io::Json::array();
  for (const std::string& v : w.variants) list.push_back(io::printable(v));  // parts of file names: any bytes
  return list;
}

ComponentWeights component_weights(const std::string& folder, const std::string& variant) {
  ComponentWeights found{{}, variant, {}};
  for (const std::string& name : files_in(folder))
    if (const auto v = variant_of(name); v && std::find(found.variants.begin(), found.variants.end(), *v) == found.variants.end()) found.variants.push_back(*v);
  std::sort(found.variants.begin(), found.variants.end());
  if (found.variants.empty()) return found;
  if (variant.empty() && !found.variants[0].empty()) found.variant = found.variants[0];  // there is no plain one: what is shown is named
  found.weights = io::open_weights(folder, {.variant = found.variant});
  return found;
}

bool check_against_config(const std::string& class_name, const std::string& folder, const io::Weights& weights) {
  const std::string config = folder + "/config.json";
  if (class_name == "UNet2DConditionModel") check<UNet>(load_unet_config(config), folder, weights);
  else if (class_name == "AutoencoderKL") check<Autoencoder>(load_vae_config(config), folder, weights);
  else if (class_name == "CLIPTextModel") check<ClipText>(load_clip_text_config(config), folder, weights);
  else return false;
  return true;
}

std::string class_of(const io::Json& config) {
  if (!config.is_object()) return "";
  if (const auto name = config.find("_class_name"); name != config.end() && name->is_string()) return name->get<std::string>();
  const auto list = config.find("architectures");
  return list != config.end() && list->is_array() && !list->empty() && list->front().is_string() ? list->front().get<std::string>() : "";
}

Inspection inspect_component(const std::string& folder, const std::string& variant) {
  const std::string config_path = folder + "/config.json";
  const io::Json config = exists(config_path) ? io::read_json(config_path) : io::Json();
  const std::string name = class_of(config);
  ComponentWeights found = component_weights(folder, variant);
  const io::Weights weights = found.weights ? std::move(*found.weights) : io::open_weights(folder, {.variant = variant});  // which says what is missing
  const bool fits = check_against_config(name, folder, weights);
  const Totals totals(weights);
  const io::Json files = weight_files_json(weights);
  Inspection r;
  r.json = {{"kind", "component"}, {"path", io::printable(folder, 4096)}, {"class", name.empty() ? io::Json() : io::Json(name)}, {"config", config},
            {"variant", io::printable(found.variant)}, {"variants", variants_json(found)}, {"fits_config", fits ? io::Json(true) : io::Json()}, {"totals", totals.json()},
            {"files", files}, {"tensors", tensors_json(weights)}};
  r.text = fmt::format("{}: {}, {}\n", io::printable(folder, 4096), name.empty() ? "weights" : io::printable(name), totals.text());
  r.text += fmt::format("variant   {} (there are: {})\nconfig    {}\n", names_of({found.variant}), names_of(found.variants),
                        fits ? "the weights fit it" : config.is_null() ? "none" : "of a class sspo does not run: not compared with the weights");
  if (config.is_object())
    for (const auto& [key, value] : config.items()) r.text += fmt::format("          {} = {}\n", io::printable(key), io::printable(value.dump(), 400));
  r.text += weight_files_text(files) + tensors_text(weights);
  return r;
}

}  // namespace sspo::cli
