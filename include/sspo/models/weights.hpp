// A component's weights into Params, and back: the door between the checkpoint's layout and ours.
//   UNetConfig config = load_unet_config(dir + "/config.json");
//   Params params = load_params<UNet>(config, io::open_weights(dir), {.dtype = DType::bf16});
//   UNet unet(params, config);
// Convolution weights lie as OIHW in files and as OHWI here. Older names are understood: query, key, value, proj_attn of the
// autoencoder's attention, a text encoder without the prefix text_model; position_ids are passed over.
#pragma once
#include "sspo/io/model_dir.hpp"
#include "sspo/nn/params.hpp"

namespace sspo {

struct LoadOptions {
  DType dtype = DType::f32;
  Device device = Device::cpu();
  // Of a pipeline, called with each component's name and parameters before its model is built on them: low-rank changes, see lora.hpp.
  Function<void(std::string_view component, Params& params)> changed = {};
};

// The tensors that `wanted` (Params::shapes_only) names, each in its shape. Throws Error{file} listing what is missing, what
// no parameter takes and what has another shape, with the nearest names.
Params fit_weights(const Params& wanted, const io::Weights& weights, const std::string& path, const LoadOptions& options = {});

// The same check alone: no number is read.
void check_weights(const Params& wanted, const io::Weights& weights, const std::string& path);

template <class Model>
Params load_params(const typename Model::Config& config, const std::string& path, const io::WeightsOptions& from = {}, const LoadOptions& options = {}) {
  Params wanted = Params::shapes_only();
  Model(wanted, config);
  return fit_weights(wanted, io::open_weights(path, from), path, options);
}

Tensor to_checkpoint(const Tensor& x);                                // 4 axes: OHWI -> OIHW; others as they are
std::vector<io::NamedTensor> to_checkpoint(const Params& params);     // ready for save_component
// x belongs to the parameter `name`, a gradient for instance: as these weights have it, older names and shapes too.
io::NamedTensor to_checkpoint(const Tensor& x, const std::string& name, const io::Weights& weights);

// What a file for this model holds: these weights under today's names and in today's shapes, each in the type it is stored in. Throws
// as fit_weights.
std::vector<io::NamedTensor> checkpoint_of(const Params& wanted, const io::Weights& weights, const std::string& path);

// The first ten digits of the SHA-256 of the weight files, in the order of their names: what pictures are signed with.
std::string weights_hash(const std::string& path, const io::WeightsOptions& from = {});

}  // namespace sspo
