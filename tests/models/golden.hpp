// The small models of tests/golden/models.json and clip.json: numbers made from names, as the scripts make_models.py and make_clip.py make them; the runs
// they recorded; a model on disk and in memory for each.
#pragma once
#include <cmath>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "io/folder.hpp"
#include "sspo/io/model_dir.hpp"
#include "sspo/models/clip.hpp"
#include "sspo/models/unet.hpp"
#include "sspo/models/vae.hpp"
#include "sspo/models/weights.hpp"
#include "support.hpp"

namespace sspo::testing {

using GoldenJson = nlohmann::ordered_json;
using NamedTensors = std::vector<io::NamedTensor>;

inline GoldenJson golden_file(const std::string& name) {
  std::ifstream in(std::string(SSPO_SOURCE_DIR "/tests/golden/") + name);
  return GoldenJson::parse(in);
}
inline const GoldenJson& golden_models() {
  static const GoldenJson json = golden_file("models.json");
  return json;
}
inline const GoldenJson& golden_clip() {
  static const GoldenJson json = golden_file("clip.json");
  return json;
}

inline std::uint64_t fnv(std::string_view text) {
  std::uint64_t h = 0xcbf29ce484222325ull;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return h;
}

inline std::string hash_of(std::string_view text) {
  char hex[17];
  std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(fnv(text)));
  return hex;
}

// The shape of a parameter as checkpoints have it: OIHW.
inline Shape stored_shape(const Shape& s) { return s.rank() == 4 ? Shape{s[0], s[3], s[1], s[2]} : s; }

// n numbers in [-1, 1), multiples of 2^-23: SplitMix64 (Steele et al. 2014) of FNV-1a(name) + 1, 2, ... golden ratios.
inline std::vector<double> uniform_of(std::string_view name, Index n) {
  std::vector<double> u;
  std::uint64_t state = fnv(name);
  for (Index i = 0; i < n; ++i) {
    std::uint64_t x = state += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    u.push_back(double((x ^ x >> 31) >> 40) * 0x1p-23 - 1);
  }
  return u;
}

// In the checkpoint's order (OIHW). Of standard deviation 1/sqrt(fan in), tables of 1; norms near 1; biases small.
inline Tensor weight_of(const std::string& name, const Shape& shape) {
  std::vector<float> w;
  const double fan_in = double(shape.numel()) / double(shape[0]);
  const double scale = std::sqrt(name.find("embedding.weight") != std::string::npos ? 3.0 : 3.0 / fan_in);
  for (const double u : uniform_of(name, shape.numel()))
    w.push_back(float(shape.rank() > 1 ? u * scale : name.ends_with("bias") ? u * 0.125 : 1 + u * 0.25));
  return Tensor::from(w, shape);
}

// Of standard deviation 1: inputs and cotangents.
inline Tensor normal_of(const std::string& name, const Shape& shape) {
  std::vector<float> w;
  for (const double u : uniform_of(name, shape.numel())) w.push_back(float(u * std::sqrt(3.0)));
  return Tensor::from(w, shape);
}

inline Tensor on(const Tensor& x, const Device& device, DType dtype) {
  return cast(Tensor::from(x.to_vector<float>(), x.shape(), device), dtype);
}

// Four sums of x with random signs, over sqrt(n): each about as large as an element of x, or as an error in it.
inline std::vector<double> projections(const std::string& name, const Tensor& x) {
  const std::vector<double> values = numbers(x);
  std::vector<double> result;
  for (int k = 0; k < 4; ++k) {
    const std::vector<double> signs = uniform_of(name + "#" + std::to_string(k), x.numel());
    double sum = 0, lost = 0;  // Neumaier 1974
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double v = signs[i] < 0 ? -values[i] : values[i], next = sum + v;
      lost += std::abs(sum) >= std::abs(v) ? (sum - next) + v : (v - next) + sum;
      sum = next;
    }
    result.push_back((sum + lost) / std::sqrt(double(x.numel())));
  }
  return result;
}

inline double rms(const std::vector<double>& x) {
  double sum = 0;
  for (const double v : x) sum += v * v;
  return std::sqrt(sum / double(std::max<std::size_t>(x.size(), 1)));
}

inline Shape shape_of(const GoldenJson& list) {
  const std::vector<Index> extents = list.get<std::vector<Index>>();
  return Shape(std::span(extents));
}

inline Tensor to_nhwc(const Tensor& x) { return contiguous(permute(x, {0, 2, 3, 1})); }
inline Tensor to_nchw(const Tensor& x) { return contiguous(permute(x, {0, 3, 1, 2})); }

// The weights a model asks for, as a checkpoint holds them.
template <class Model>
NamedTensors checkpoint_of(const typename Model::Config& config) {
  Params wanted = Params::shapes_only();
  Model(wanted, config);
  NamedTensors tensors;
  for (const Param& p : wanted) tensors.push_back({p.name(), weight_of(p.name(), stored_shape(p.shape()))});
  return tensors;
}

inline ClipTextConfig load_config(const std::string& path, const ClipText*) { return load_clip_text_config(path); }
inline UNetConfig load_config(const std::string& path, const UNet*) { return load_unet_config(path); }
inline VaeConfig load_config(const std::string& path, const Autoencoder*) { return load_vae_config(path); }
inline ClipVisionConfig load_config(const std::string& path, const ClipVision*) { return *load_clip_config(path).vision; }
inline ClipTextConfig load_config(const std::string& path, const ClipTextTower*) { return *load_clip_config(path).text; }
template <class Model>
typename Model::Config config_in(const std::string& folder) { return load_config(folder + "/config.json", static_cast<const Model*>(nullptr)); }

template <class Model>
const char* stem_of() { return std::is_same_v<Model, UNet> || std::is_same_v<Model, Autoencoder> ? "diffusion_pytorch_model" : "model"; }

// A folder with the config of a run and its weights, written by sspo.
template <class Model>
void write_model(const std::string& folder, const GoldenJson& run, const io::SaveOptions& options = {}) {
  std::filesystem::create_directories(folder);
  io::write_file(folder + "/config.json", run.at("config").dump());
  io::save_component(folder, run.at("config").dump(2), stem_of<Model>(), checkpoint_of<Model>(config_in<Model>(folder)), options);
}

// A run of the golden file: the model loaded from its folder, the inputs, and what it computes from them.
template <class Model>
struct Run {
  Params params;
  Model model;
  Device device;
  NamedTensors inputs;   // in the files' layout (NCHW); tracked where floating, but for the timestep
  NamedTensors outputs(const NamedTensors& in) const;  // NCHW
  NamedTensors outputs() const { return outputs(inputs); }
};

template <class Model>
Run<Model> load_run(const std::string& folder, const GoldenJson& run, DType dtype, const Device& device = Device::cpu()) {
  const auto config = config_in<Model>(folder);
  Params params = load_params<Model>(config, folder, {}, {.dtype = dtype, .device = device});
  Run<Model> r{params, Model(params, config), device, {}};
  for (const auto& [name, value] : run.at("inputs").items()) {
    if (name == "timestep") {
      r.inputs.push_back({name, Tensor::from(value.template get<std::vector<double>>(), {Index(value.size())}, device)});
    } else if (name == "input_ids") {
      std::vector<std::int64_t> ids;
      for (const GoldenJson& row : value)
        for (const GoldenJson& id : row) ids.push_back(id.get<std::int64_t>());
      r.inputs.push_back({name, Tensor::from(ids, {Index(value.size()), Index(value[0].size())}, device)});
    } else {
      r.inputs.push_back({name, track(on(normal_of("input." + name, shape_of(value)), device, dtype), name)});
    }
  }
  return r;
}

template <>
inline NamedTensors Run<ClipText>::outputs(const NamedTensors& in) const {
  const ClipText::Output y = model(in[0].tensor);
  return {{"last_hidden_state", y.last_hidden_state}, {"pooled", y.pooled}};
}
template <>
inline NamedTensors Run<ClipTextTower>::outputs(const NamedTensors& in) const {
  const ClipTextTower::Output y = model(in[0].tensor);
  return {{"embeds", y.embeds}, {"last_hidden_state", y.last_hidden_state}};
}
template <>
inline NamedTensors Run<ClipVision>::outputs(const NamedTensors& in) const {
  const ClipVision::Output y = model(to_nhwc(in[0].tensor));
  return {{"embeds", y.embeds}, {"last_hidden_state", y.last_hidden_state}};
}
template <>
inline NamedTensors Run<UNet>::outputs(const NamedTensors& in) const {
  return {{"sample", to_nchw(model(to_nhwc(in[0].tensor), in[1].tensor, in[2].tensor))}};
}
template <>
inline NamedTensors Run<Autoencoder>::outputs(const NamedTensors& in) const {
  if (in[0].name == "latent") return {{"image", to_nchw(model.decode(to_nhwc(in[0].tensor)))}};
  const Moments m = model.encode(to_nhwc(in[0].tensor));
  return {{"mean", to_nchw(m.mean)}, {"logvar", to_nchw(m.logvar)}};
}

// The sum of output times cotangent over all outputs: what the golden gradients are of.
inline Tensor loss_of(const NamedTensors& outputs) {
  Tensor loss;
  for (const auto& [name, y] : outputs) {
    const Tensor part = sum(y * on(normal_of("cotangent." + name, y.shape()), y.device(), y.dtype()));
    loss = loss.defined() ? loss + part : part;
  }
  return loss;
}

// f(model type, run) for every run of the golden files.
template <class F>
void for_each_run(F&& f) {
  const auto all = [&]<class Model>(std::type_identity<Model> type, const char* part, const GoldenJson& file = golden_models()) {
    for (const GoldenJson& run : file.at(part)) {
      INFO(std::string(part) << ": " << run.at("name").get<std::string>());
      f(type, run);
    }
  };
  all(std::type_identity<ClipText>{}, "text");
  all(std::type_identity<UNet>{}, "unet");
  all(std::type_identity<Autoencoder>{}, "vae");
  all(std::type_identity<ClipVision>{}, "vision", golden_clip());
  all(std::type_identity<ClipTextTower>{}, "text", golden_clip());
}

}  // namespace sspo::testing
