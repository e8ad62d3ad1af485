// The UNet in training as files keep it, in the pool and when a run ends, and back: unet/ in the diffusers layout; or, where adapters
// are trained (LoRA), pytorch_lora_weights.safetensors alone.
//   save_policy(model, model.trained, "run/pool/3");      const auto reference = load_policy(model, "run/pool/3", device);
#pragma once
#include <memory>
#include <string>

#include "cli/train_model.hpp"

namespace sspo::cli {

void save_policy(const TrainModel& m, const Params& from, const std::string& folder);
// Frozen, in the arithmetic and the kernels of training. Adapters stand upon the one copy of the weights that they are for: where they
// are the policy's own, or B is still 0 in both, every number that the model gives is the policy's. `narrow`: weights in the model's own
// type alone, without f32 masters and without a copy in kernels' own form.
std::shared_ptr<const UNet> load_policy(TrainModel& m, const std::string& folder, const Device& device, bool narrow = false);
// What its numbers are: the hash of its file, and of what adapters stand upon.
std::string policy_hash(const TrainModel& m, const std::string& folder);
bool policy_there(const TrainModel& m, const std::string& folder);
// Where a finished run has its last one: RUN/model, RUN/lora.
inline std::string last_policy(const TrainModel& m, const std::string& run) { return run + (m.lora ? "/lora" : "/model"); }

// The same model upon other adapters, made from a generator or there already: `numbers` holds unet.MODULE.lora_A.weight and so on.
UNet with_adapters(TrainModel& m, Params& numbers);
// unet/ in the diffusers layout with the changes of `adapters`, a folder of save_policy, added to its weights as sspo lora merge does: in
// place, for they are in memory once. Training is over then.
void save_merged(const TrainModel& m, const std::string& adapters, const std::string& folder);

}  // namespace sspo::cli
