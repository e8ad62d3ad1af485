#include "cli/train_phase.hpp"

#include <algorithm>

namespace sspo::cli {
namespace {

Rng rng_of(const Recipe& r) { return Rng(std::uint64_t(r.integer("seed"))); }

Index prompts_a_phase(const Recipe& r, Index samples) {
  const Index wanted = r.integer("preference.prompts");
  return wanted ? std::min(wanted, samples) : samples;
}

std::vector<Index> prompts_of(const Recipe& r, Index samples, Index k) {
  std::vector<Index> prompts;
  for (const Pick& p : Batches(samples, {.batch = prompts_a_phase(r, samples)}, rng_of(r) / "prompts").at(k - 1)) prompts.push_back(p.sample);
  return prompts;
}

DrawEvery draw_every(const Recipe& r) {
  const std::string every = r.has("preference.draw") ? r.text("preference.draw") : "phase";  // unset: there is no reference
  return every == "sample" ? DrawEvery::sample : every == "batch" ? DrawEvery::batch : DrawEvery::phase;
}

}  // namespace

ReferencePolicy reference_policy_of(const Recipe& r) {
  return r.has("preference.reference") ? reference_policy_named(r.text("preference.reference")) : objective_named(r.text("objective")).reference;
}

Phase::Phase(const Recipe& r, Index samples, Index k)
    : policy_(reference_policy_of(r)), every_(draw_every(r)), replay_(rng_of(r) / "replay"), k_(k), prompts_(prompts_of(r, samples, k)),
      batches_(Index(prompts_.size()), {.batch = r.integer("train.batch"), .drop_caption = r.number("data.drop_caption")}, rng_of(r) / "batch" / k) {
  if (policy_ != ReferencePolicy::uniform || every_ == DrawEvery::phase) {
    std::vector<Index>& all = sampled_[draw_reference(policy_, replay_, k)];
    for (std::size_t i = 0; i < prompts_.size(); ++i) all.push_back(Index(i));
    return;
  }
  for (Index u = 0; u < r.integer("preference.updates"); ++u) {
    const std::vector<Pick> samples_of = picks(u);
    const std::vector<Index> references_of = references(u);
    for (std::size_t i = 0; i < samples_of.size(); ++i) sampled_[references_of[i]].push_back(samples_of[i].sample);
  }
  for (auto& [reference, places] : sampled_) {
    std::sort(places.begin(), places.end());
    places.erase(std::unique(places.begin(), places.end()), places.end());
  }
}

std::vector<Index> Phase::references(Index update) const { return draw_references(policy_, every_, replay_, k_, update, Index(picks(update).size())); }

}  // namespace sspo::cli
