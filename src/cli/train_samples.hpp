// The self-samples of a preference run, where training keeps them: for training itself and for whoever looks at the run afterwards.
#pragma once
#include "cli/train_phase.hpp"
#include "cli/train_tasks.hpp"
#include "sspo/train/self_samples.hpp"

namespace sspo::cli {

// As the recipe has it; Error: settings that do not go together.
SelfSampling self_sampling_of(const TrainContext& c);

// x_0^r of phase k from checkpoint `reference`, which lies in `folder`: row i is that of the prompt phase.sampled()[reference][i].
// What is missing there is not made yet.
std::shared_ptr<TensorStore> self_sample_store(const TrainContext& c, const SelfSampling& how, const Phase& phase, Index k, Index reference, const std::string& folder);

}  // namespace sspo::cli
