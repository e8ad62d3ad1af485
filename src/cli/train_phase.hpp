// What phase k of a preference run is made of: winners, batches and references, functions of the recipe and the seed alone.
//   const Phase phase(recipe, data.size(), 3);
//   phase.picks(0), phase.references(0)         // of its first update: places in prompts(), checkpoints
#pragma once
#include <map>
#include <vector>

#include "cli/recipe.hpp"
#include "sspo/train/batches.hpp"
#include "sspo/train/replay.hpp"

namespace sspo::cli {

class Phase {
 public:
  Phase(const Recipe& recipe, Index samples, Index k);  // k = 1, 2, ...

  // The winners of the phase, as samples of the data set: all, or the next preference.prompts of an endless row of passes.
  const std::vector<Index>& prompts() const { return prompts_; }
  std::vector<Pick> picks(Index update) const { return batches_.at(update); }
  std::vector<Index> references(Index update) const;  // of each pick; all equal unless drawn for each
  // The prompts, as places in prompts(), for which each reference draws a picture. Of a reference that serves the whole phase: all;
  // else those that a pick of the phase pairs it with.
  const std::map<Index, std::vector<Index>>& sampled() const { return sampled_; }

 private:
  ReferencePolicy policy_;
  DrawEvery every_;
  Rng replay_;
  Index k_;
  std::vector<Index> prompts_;
  Batches batches_;
  std::map<Index, std::vector<Index>> sampled_;
};

ReferencePolicy reference_policy_of(const Recipe& recipe);  // the recipe's, or the objective's own

}  // namespace sspo::cli
