#include "cli/train_samples.hpp"

#include "cli/train_policy.hpp"
#include "sspo/io/hash.hpp"

namespace sspo::cli {

SelfSampling self_sampling_of(const TrainContext& c) {
  const Recipe& r = c.recipe;
  SelfSampling how{.scheduler = c.model.scheduler, .latent = c.model.latent, .dtype = c.model.dtype};
  if (r.has("sampling.scheduler")) {
    how.scheduler = read_scheduler_config(write_scheduler_config(c.model.scheduler), {.path = "scheduler"}, scheduler_kind(r.text("sampling.scheduler")));
    how.scheduler.clip_sample = c.model.scheduler.clip_sample;
  }
  how.steps = r.integer("sampling.steps"), how.guidance = r.number("sampling.guidance"), how.eta = r.number("sampling.eta");
  make_scheduler(how.scheduler, how.steps, {.eta = how.eta});  // settings that do not go together show now
  return how;
}

std::shared_ptr<TensorStore> self_sample_store(const TrainContext& c, const SelfSampling& how, const Phase& phase, Index k, Index reference, const std::string& folder) {
  const std::vector<Index>& places = phase.sampled().at(reference);
  io::Sha256 texts;
  for (const Index place : places) {
    const Index prompt = phase.prompts()[std::size_t(place)];
    texts.add(std::to_string(prompt) + ":" + c.data.captions[std::size_t(prompt)]);
  }
  const io::Metadata about = about_of(how, k, c.rng() / "sample" / k, policy_hash(c.model, folder), texts.hex());
  return std::make_shared<TensorStore>(c.run / ("self-samples/phase-" + std::to_string(k) + "-from-" + std::to_string(reference) + "-" + key_of(about)), Index(places.size()),
                                       TensorStore::Options{.shard = c.recipe.integer("sampling.batch"), .about = about,
                                                            .keep_bytes = (std::uint64_t(256) << 20) / phase.sampled().size(), .device = c.device});
}

}  // namespace sspo::cli
