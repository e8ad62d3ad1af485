// The small models of tests/golden/blip.json.
#pragma once
#include "models/golden.hpp"
#include "sspo/models/blip.hpp"

namespace sspo::testing {

inline const GoldenJson& golden_blip() {
  static const GoldenJson json = golden_file("blip.json");
  return json;
}

inline ImageRewardConfig config_of(const GoldenJson& run) {
  ImageRewardConfig c;
  const GoldenJson& v = run.at("vision");
  c.vision.image_size = v.at("image_size").get<Index>();
  c.vision.patch_size = v.at("patch_size").get<Index>();
  c.vision.hidden_size = v.at("hidden_size").get<Index>();
  c.vision.num_hidden_layers = v.at("num_hidden_layers").get<Index>();
  c.vision.num_attention_heads = v.at("num_attention_heads").get<Index>();
  c.vision.intermediate_size = Index(double(c.vision.hidden_size) * v.at("mlp_ratio").get<double>());
  c.text = read_bert_config(run.at("text").dump(), {.path = "blip.json"});
  c.text.encoder_width = c.vision.hidden_size;
  return c;
}

// Seeded weights under the names that a model asks for, in the engine's layout.
template <class Model>
Params golden_params(const typename Model::Config& config) {
  Params params;
  for (const auto& [name, x] : checkpoint_of<Model>(config)) params.add(name, x.rank() == 4 ? to_nhwc(x) : x);
  return params.frozen();
}

}  // namespace sspo::testing
