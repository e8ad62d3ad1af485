// sspo plan: what a recipe will take, before its first step: memory by part, arithmetic, pictures to sample, disk.
#pragma once
#include <string>
#include <vector>

#include "cli/recipe.hpp"
#include "cli/train_data.hpp"
#include "cli/train_model.hpp"

namespace sspo::cli {

// Bytes. In memory a trained parameter takes 4 (its f32 number) + 4 (gradient) + what the optimizer remembers: 8 adamw, 2.03 adamw8bit, 4/rows +
// 4/columns adafactor; with train.masters = "disk" 2 (bf16) + 4, and a step adds the masters and moments of the largest parameter alone.
// A rehearsal on made-up numbers: a picture is encoded, the sampler called, two micro-batches taken; the peak is that of the
// whole, so that what kernels keep of weights in their own form counts, too. A large model is rehearsed on a device that computes and
// touches nothing (tensor/rehearsal.hpp); beside a small one the workspaces of kernels count, and it is rehearsed for real.
struct MemoryPlan {
  std::uint64_t weights = 0, frozen = 0, gradients = 0, moments = 0, ema = 0, reference = 0;
  std::uint64_t scratch = 0;         // on disk, not in memory: f32 masters and moments with train.masters = "disk"
  std::uint64_t training = 0;        // gradients, activations and whatever is temporary in a step, as the recipe has it
  std::uint64_t plain = 0, recomputed = 0;  // the same without and with recompute; 0: not measured, or there is no such choice
  std::uint64_t sampling = 0, encoding = 0;  // temporary in self-sampling, in filling the latent cache
  std::uint64_t peak = 0;            // the most in use at once
};
struct PlanOptions {
  bool both = false;  // with recompute and without
  CpuOptions cpu = {};
};
MemoryPlan plan_memory(const Recipe& recipe, const TrainData& data, const PlanOptions& options);

// What a run writes at most, in the main: checkpoints, pool, caches, self-samples, the exported model.
std::uint64_t disk_bytes(const Recipe& recipe, const TrainModel& model, const TrainData& data);
std::uint64_t cache_bytes(const Recipe& recipe, const TrainModel& model, const TrainData& data);  // of these the caches alone

struct PlanCommand {
  std::string recipe;
  std::vector<std::string> settings;
  std::string max_memory;  // held against the peak: Error{input} if it is less
  Index samples = 0;       // plan for so many captioned pictures, without the data set
  int threads = 0;
  std::string isa;
  bool json = false;
};
void plan(const PlanCommand& command);

std::size_t bytes_of(const std::string& text);  // "4G", "512MiB", "1e9"; Error{input}
void require_memory(const MemoryPlan& plan, std::size_t limit);

}  // namespace sspo::cli
