#include "cli/forward.hpp"

#include "cli/device.hpp"
#include "cli/files.hpp"
#include "cli/inputs.hpp"
#include "cli/layout.hpp"
#include "sspo/grad/backward.hpp"
#include "sspo/io/safetensors.hpp"
#include "sspo/models/clip.hpp"
#include "sspo/models/stable_diffusion.hpp"

namespace sspo::cli {
namespace {

// What a part computes, and on what: names as in the files, tensors in the files' layout.
struct Result {
  std::vector<io::NamedTensor> outputs;  // the first one is what --grad differentiates
  Params params;
  std::function<std::vector<io::NamedTensor>(std::vector<io::NamedTensor>)> in_file;  // tensors by our parameters' names -> as the weights' file has them
};

auto in_file_of(const std::string& folder, const ForwardOptions& o) {
  return [folder, variant = o.variant](std::vector<io::NamedTensor> tensors) {
    const io::Weights weights = io::open_weights(folder, {.variant = variant});
    for (io::NamedTensor& t : tensors) t = to_checkpoint(t.tensor, t.name, weights);
    return tensors;
  };
}

template <class Model, class Config>
Params params_of(const Config& config, const std::string& folder, const ForwardOptions& o, const Device& device) {
  Params params = load_params<Model>(config, folder, {.variant = o.variant}, {.dtype = dtype_of(o.device), .device = device});
  if (!o.grad) params.frozen();
  return params;
}

Result run_text(const ForwardOptions& o, Inputs& in, const Device& device) {
  const std::string folder = component_folder(o.model, "text_encoder");
  const ClipTextConfig config = load_clip_text_config(folder + "/config.json");
  Params params = params_of<ClipText>(config, folder, o, device);
  const ClipText::Output y = ClipText(params, config)(in.integers("input_ids", 2));
  return {{{"last_hidden_state", y.last_hidden_state}, {"pooled", y.pooled}}, params, in_file_of(folder, o)};
}

Result run_unet(const ForwardOptions& o, Inputs& in, const Device& device) {
  const std::string folder = component_folder(o.model, "unet");
  const UNetConfig config = load_unet_config(folder + "/config.json");
  Params params = params_of<UNet>(config, folder, o, device);
  const Tensor sample = in.floats("sample", 4), text = in.floats("encoder_hidden_states", 3);
  return {{{"sample", to_nchw(UNet(params, config)(to_nhwc(sample), in.any("timestep", 1), text))}}, params, in_file_of(folder, o)};
}

Result run_vae(const ForwardOptions& o, Inputs& in, const Device& device) {
  const std::string folder = component_folder(o.model, "vae");
  const VaeConfig config = load_vae_config(folder + "/config.json");
  Params params = params_of<Autoencoder>(config, folder, o, device);
  const Autoencoder vae(params, config);
  const auto tiles = o.vae_tiling ? std::optional(VaeTiles{}) : std::nullopt;
  if (o.part == "vae-decode") {
    const Tensor z = to_nhwc(in.floats("latent", 4));
    return {{{"image", to_nchw(o.vae_slicing ? sliced_decode(vae, z, tiles) : tiles ? tiled_decode(vae, z, *tiles) : vae.decode(z))}}, params, in_file_of(folder, o)};
  }
  const Tensor x = to_nhwc(in.floats("image", 4));
  const Moments m = o.vae_slicing ? sliced_encode(vae, x, tiles) : tiles ? tiled_encode(vae, x, *tiles) : vae.encode(x);
  return {{{"mean", to_nchw(m.mean)}, {"logvar", to_nchw(m.logvar)}}, params, in_file_of(folder, o)};
}

Result run_clip(const ForwardOptions& o, Inputs& in, const Device& device) {
  const ClipSource source = open_clip(o.model, {.activation = o.activation == "quick_gelu" ? std::optional(Activation::quick_gelu) : o.activation == "gelu" ? std::optional(Activation::gelu_erf) : std::nullopt, .variant = o.variant});
  const bool image = o.part == "clip-image";
  const LoadOptions load{.dtype = dtype_of(o.device), .device = device};
  Params params = image ? load_clip_vision(source, load) : load_clip_text(source, load);
  if (!o.grad) params.frozen();
  const auto result = [&](const auto& y) { return Result{{{"embeds", y.embeds}, {"last_hidden_state", y.last_hidden_state}}, params, [source](auto tensors) { return to_clip_checkpoint(std::move(tensors), source); }}; };
  if (image) return result(ClipVision(params, *source.config.vision)(to_nhwc(in.floats("pixel_values", 4))));
  return result(ClipTextTower(params, *source.config.text)(in.integers("input_ids", 2)));
}

// A parameter or an input that the output does not depend on has a gradient of zeros, as in the file formats of others.
Tensor gradient_or_zeros(const Tensor* g, const Tensor& like) { return g ? *g : zeros_like(like); }

}  // namespace

void forward(const ForwardOptions& o) {
  check_output(o.out, o.force);
  const Device device = device_of(o.device);
  const DType wide = o.device.dtype == "f64" ? DType::f64 : DType::f32;
  Inputs in(o.in, dtype_of(o.device), device, o.grad);
  const Tensor seed = o.grad ? in.whole("grad_output") : Tensor{};  // before any work: its absence is the cheapest thing to find
  const Result result = o.part == "text" ? run_text(o, in, device) : o.part == "unet" ? run_unet(o, in, device) : o.part.starts_with("clip") ? run_clip(o, in, device) : run_vae(o, in, device);

  std::vector<io::NamedTensor> file;
  for (const auto& [name, value] : result.outputs) file.push_back({name, cast(value.with_node(nullptr), wide)});
  if (o.grad) {
    const Tensor& y = result.outputs[0].tensor;
    if (!(seed.shape() == y.shape()))
      io::bad_file({.path = o.in, .field = "grad_output"}, "the shape is not the output's", y.shape().str(), seed.shape().str());
    const Gradients g = backward(y, {.seed = cast(seed, y.dtype())});
    for (const auto& [name, x] : in.tracked()) file.push_back({"grad.input." + name, cast(gradient_or_zeros(g.find(x), x.with_node(nullptr)), wide)});
    std::vector<io::NamedTensor> gradients;
    for (const Param& p : result.params) gradients.push_back({p.name(), gradient_or_zeros(p.gradient(g), p.value())});
    for (const auto& [name, value] : result.in_file(std::move(gradients))) file.push_back({"grad.param." + name, cast(value, wide)});
  }
  io::save_safetensors(o.out, file, {{"part", o.part}});
}

}  // namespace sspo::cli
