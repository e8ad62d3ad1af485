#include "cli/train_policy.hpp"

#include <filesystem>

#include "sspo/models/lora.hpp"

namespace sspo::cli {
namespace {

constexpr const char* stem = "diffusion_pytorch_model";

}  // namespace

void save_policy(const TrainModel& m, const Params& from, const std::string& folder) {
  if (m.lora) save_adapters(folder, from, *m.lora, {{"base", m.digest}});
  else io::save_component(folder + "/unet", m.unet.json, stem, part_weights(from, "unet"));
}

UNet with_adapters(TrainModel& m, Params& numbers) {
  nn::Adapters adapters(numbers / "unet", *m.lora);
  return UNet(Scope(*m.unet.frozen, "").with(adapters), m.unet.config);
}

std::shared_ptr<const UNet> load_policy(TrainModel& m, const std::string& folder, const Device& device, bool narrow) {
  const LoadOptions options{.dtype = narrow ? m.dtype : DType::f32, .device = device};
  if (!m.lora) {
    Params numbers = load_params<UNet>(m.unet.config, folder + "/unet", {}, options);
    if (narrow)
      for (const Param& p : numbers) p.value().storage()->derives = false;
    return std::make_shared<const UNet>(numbers.frozen().compute_in(m.dtype), m.unet.config);
  }
  Params wanted = Params::shapes_only();
  for (const Param& p : m.trained) wanted.get(p.name(), p.shape(), {});
  Params numbers = load_adapters(folder, wanted, options);
  numbers.frozen().compute_in(m.dtype);
  return std::make_shared<const UNet>(with_adapters(m, numbers));
}

std::string policy_hash(const TrainModel& m, const std::string& folder) {
  const std::string name = m.lora ? adapters_file : "unet/" + std::string(stem) + ".safetensors";
  return io::read_manifest(folder).files.at(name).sha256 + (m.lora ? " upon " + m.digest : "");
}

bool policy_there(const TrainModel& m, const std::string& folder) {
  std::error_code none;
  return std::filesystem::exists(folder + (m.lora ? "/" + std::string(adapters_file) : "/unet/config.json"), none);
}

void save_merged(const TrainModel& m, const std::string& adapters, const std::string& folder) {
  const Lora lora = open_lora(adapters + "/" + adapters_file);
  Params weights = *m.unet.frozen;  // a handle
  LoraChange change;
  add_lora(lora, 1, LoraPart::unet, weights, change);
  require_some(change, lora);
  std::vector<io::NamedTensor> tensors;  // views: put in the file's order as they are written, one at a time
  for (const Param& p : weights) tensors.push_back({p.name(), p.shape().rank() == 4 ? permute(p.value(), {0, 3, 1, 2}) : p.value()});
  io::save_component(folder + "/unet", m.unet.json, stem, tensors);
}

}  // namespace sspo::cli
