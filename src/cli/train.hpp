// sspo train: a training run from a recipe, into a folder.
#pragma once
#include <string>
#include <vector>

#include "cli/forward.hpp"
#include "sspo/base/config.hpp"

namespace sspo::cli {

struct TrainCommand {
  std::string recipe, out;
  std::string resume = "never";       // auto, never, or the folder of a checkpoint
  std::vector<std::string> settings;  // a.b=c
  std::string max_memory;             // "4G": held against the plan before the first step, then the device's budget
  bool cache_only = false;            // what is computed once, and nothing else
  DeviceOptions device = {};          // its dtype is the recipe's to say
  bool json = false;
};
struct TrainSummary {
  std::string model;  // OUT/model; OUT/lora, where only adapters are exported; of cache_only the caches' folder
  Index steps = 0, skipped = 0, seed = 0;
  std::size_t peak_tensor_bytes = 0;
};
// OUT holds, in the end, model/ (a pipeline that diffusers loads), metrics.jsonl, report.html, recipe.toml as it was understood,
// checkpoints/, pool/, self-samples/, cache/. A signal: the step ends, a checkpoint is written, Interrupted is thrown.
TrainSummary train(const TrainCommand& command);
void train_and_tell(const TrainCommand& command);  // the verb: prints the summary

}  // namespace sspo::cli
