// The tasks that the trainer is given: what each objective's step is.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "cli/recipe.hpp"
#include "cli/train_data.hpp"
#include "cli/train_model.hpp"
#include "sspo/train/batches.hpp"
#include "sspo/train/tensor_store.hpp"
#include "sspo/train/trainer.hpp"

namespace sspo::cli {

// What all tasks work with; outlives them.
struct TrainContext {
  const Recipe& recipe;
  const TrainData& data;
  TrainModel& model;
  const RunFolder& run;
  Device device;
  Watchdog& watchdog;
  std::function<void(const std::string&)> say;
  Rng rng() const { return Rng(std::uint64_t(recipe.integer("seed"))); }
};

Task vae_task(const TrainContext& c);
Task pretrain_task(const TrainContext& c);
Task judge_task(const TrainContext& c);
Task preference_task(const TrainContext& c);
inline Task make_task(const TrainContext& c) {
  switch (c.recipe.kind()) {
    case pretrain_vae: return vae_task(c);
    case pretrain: return pretrain_task(c);
    case judge: return judge_task(c);
    default: return preference_task(c);
  }
}

// The caption, or for a share of the picks the caption and one of the keywords.
std::string with_keyword(const TrainData& data, const Pick& p, double share);
// What a step was made of: Task::describe.
std::string samples_json(const std::vector<Pick>& picks, const TrainData& data, const io::Json& more = io::Json::object());

// --- caches, in RUN/cache or the folder data.cache: keyed by what they are a function of

// How many pictures go through the autoencoder at once: one of 128 x 128 or more, else as many as make up that. It takes most memory of all.
Index pictures_at_once(Index side);
bool tiles_latents(const Recipe& r, const TrainModel& m);  // data.vae_tiling, where a picture is larger than a tile
// Mean and log variance of each picture's latents, [n, h, w, 2 C] f32: of the pictures, or of the losers.
std::shared_ptr<TensorStore> latent_cache(const TrainContext& c, bool losers);
// z = (mean + e^(logvar / 2) noise) scaled, [n, h, w, C]                       spec §3.3: a sample, not the mode
Tensor latents_of(const TensorStore& cache, const std::vector<Index>& rows, const VaeConfig& config, const Rng& rng);

// The states of each caption and of none, by a frozen text encoder.
class CaptionStates {
 public:
  explicit CaptionStates(const TrainContext& c, bool keywords = false);  // keywords: of each caption with each of its keywords, too
  Tensor rows(const std::vector<std::string>& captions) const;  // [n, N, D]

 private:
  std::vector<std::string> texts_;  // ascending
  std::shared_ptr<TensorStore> store_;
};

// Each picture once through the frozen autoencoder, [n, H, W, 3] f32 in [-1, 1]: what the best of models could draw of it.
std::shared_ptr<TensorStore> through_vae(const TrainContext& c, const TrainData& data, const std::string& name);

// How good the judge is on the rows that it was not trained on: RUN/held_out.json, and one line to say.
void test_judge(const TrainContext& c, const Params& result);

// 1 / standard deviation of the latents of up to 256 pictures: scaling_factor of an autoencoder that was trained.
double measured_scaling_factor(const TrainContext& c, const Autoencoder& vae);

}  // namespace sspo::cli
