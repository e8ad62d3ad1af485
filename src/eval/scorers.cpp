#include "sspo/eval/scorer.hpp"

namespace sspo {
namespace {

std::string names() {
  std::string all;
  for (const ScorerKind& k : scorer_kinds()) all += (all.empty() ? "" : ", ") + std::string(k.name);
  return all;
}

}  // namespace

std::span<const ScorerKind> scorer_kinds() {
  return {};  // rows: {"pickscore", "v1", "...", "...", load_pickscore}
}

Scorer load_scorer(std::string_view name, const std::string& path, const ScorerOptions& options, Site at) {
  for (const ScorerKind& k : scorer_kinds())
    if (k.name == name) return k.load(path, options);
  fail({.op = "load_scorer", .what = "no scorer of this name", .expected = "one of " + names(), .got = io::printable(name)}, at);
}

}  // namespace sspo
