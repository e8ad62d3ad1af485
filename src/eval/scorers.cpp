#include "eval/scorer_kinds.hpp"

namespace sspo {
namespace {

std::string names() {
  std::string all;
  for (const ScorerKind& k : scorer_kinds()) all += (all.empty() ? "" : ", ") + std::string(k.name);
  return all;
}

}  // namespace

std::span<const ScorerKind> scorer_kinds() {
  static constexpr ScorerKind kinds[] = {
      {"imagereward", "v1.0", "how people would rate the picture for its prompt; deviations from the mean, by BLIP",
       "a folder with ImageReward.pt and med_config.json (huggingface.co/THUDM/ImageReward) and vocab.txt (huggingface.co/google-bert/bert-base-uncased)", load_image_reward},
  };
  return kinds;
}

Scorer load_scorer(std::string_view name, const std::string& path, const ScorerOptions& options, Site at) {
  for (const ScorerKind& k : scorer_kinds())
    if (k.name == name) return k.load(path, options);
  fail({.op = "load_scorer", .what = "no scorer of this name", .expected = "one of " + names(), .got = io::printable(name)}, at);
}

}  // namespace sspo
