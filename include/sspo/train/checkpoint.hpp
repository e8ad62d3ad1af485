// Checkpoints of a training run: FOLDER/step-120, whole or not there at all, from which the run goes on to the same bits.
//   Checkpoints checkpoints("run/checkpoints", digest_of_the_recipe);
//   if (!checkpoints.resume(state, say)) ...;                 // the newest valid one; false: there is none yet
//   checkpoints.save(state);   checkpoints.prune(3);          // in this order: what is finished stays until the next one is
// step-N holds params.safetensors (f32 masters), optimizer.safetensors (its states: m.NAME, v.NAME of AdamW; recipes/README.md), perhaps
// ema.safetensors, all in the engine's own layout, and MANIFEST.json. `latest` is a hint for people; nothing is read from it.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "sspo/io/manifest.hpp"
#include "sspo/train/ema.hpp"
#include "sspo/train/optimizer.hpp"

namespace sspo {

// All that a run needs to go on. Random numbers, place in the data, learning rate and phase follow from the step.
struct TrainingState {
  Params& params;
  Optimizer& optimizer;
  Ema* ema = nullptr;
  Index step = 0;                                // finished steps
  std::map<std::string, std::string> notes = {};  // what else must be remembered, by plain names
};

class Checkpoints {
 public:
  // Made if need be; what a killed save left is removed. `run` identifies recipe, data and model: others' are not resumed from.
  Checkpoints(std::string folder, std::string run);

  // Error{non_finite}: a weight is not finite; nothing is written then. Error{io}: the disk; the older ones stay as they are.
  void save(const TrainingState& state);
  // False: there is none, and never was. Tells `say` of each one passed over, and why, before the one it took. None of those
  // there is valid: Error{file}. A state is changed only by the one that is taken.
  bool resume(TrainingState& state, const Function<void(const std::string&)>& say);
  void load(const std::string& checkpoint, TrainingState& state) const;  // this folder; Error{file}: damaged, of another run
  void prune(Index keep);                                                // the newest `keep` stay, at least one
  std::vector<Index> steps() const;                                      // of those there, ascending
  std::string path_of(Index step) const { return folder_ + "/step-" + std::to_string(step); }
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_, run_;
};

// Are all numbers finite?
bool all_finite(const Tensor& x);

}  // namespace sspo
