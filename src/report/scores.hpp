// Scores of models' pictures, prompt by prompt, and what they say: means over seeds, paired differences.
//   Scored base = read_scores("demo/scores/base");
//   Difference d = difference({{&sspo_1, &base}, {&sspo_2, &base}}, measures()[0], "train", rng / "sspo against base");
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/json.hpp"
#include "sspo/eval/statistics.hpp"

namespace sspo::report {

// A picture that a model drew for a prompt, as the judge sees it.
struct Score {
  std::string name, split;
  Index n = 0;  // which of the prompt's pictures
  double near_pixels = 0, near_features = 0, style = 0, caption = 0, rank = 0;
};
// scores.jsonl and summary.json of one evaluation.
struct Scored {
  std::vector<Score> rows;
  io::Json summary = io::Json::object();
  std::filesystem::path folder;
  bool there() const { return !rows.empty(); }
};
Scored read_scores(const std::filesystem::path& folder);  // nothing there: no rows
std::vector<std::string> splits_of(const std::vector<const Scored*>& all);  // in order: train first

struct Measure {
  const char *name, *title, *what;
  double (*of)(const Score&);
};
const std::vector<Measure>& measures();  // near, near (features), style, caption, R@1

// A measure's mean over the rows of a split; NaN without rows.
double mean_of(const Scored& s, const Measure& m, const std::string& split);

struct OverSeeds {
  std::size_t seeds = 0;
  double mean = 0, deviation = 0;  // of the seeds' means; deviation NaN for one seed
};
OverSeeds over_seeds(const std::vector<double>& means);  // those that are finite

struct Difference {
  std::size_t prompts = 0, seeds = 0, agree = 0;  // agree: seeds whose own mean difference has the sign of the whole
  double mean = 0, low = 0, high = 0, p = 1;
};
// Evaluations of one seed each: what is measured, and what it is measured against.
using ScoredPairs = std::vector<std::pair<const Scored*, const Scored*>>;
// First minus second by prompt: pictures of equal name and n are paired; all of one prompt, over its pictures and the seeds, are one
// value, since they are not independent; the interval is a bootstrap over prompts. Nothing to pair: prompts = 0.
Difference difference(const ScoredPairs& pairs, const Measure& m, const std::string& split, const Rng& rng, Index draws = 2000);

}  // namespace sspo::report
