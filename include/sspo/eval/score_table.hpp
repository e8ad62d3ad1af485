// Scores of many pictures, and what they say: by prompt, by seed, by category, and against another table.
//   ScoreTable t = read_scores("out/base/scores.jsonl");
//   for (const std::string& s : t.scorers) print(summarise(t, s, Rng{0}).estimate.mean);
//   PairedScores p = compare_scores(ours, theirs, "pickscore:v1:3f2a90c1d5", rng / "pickscore");
// A prompt is what is drawn at random from a population, so all pictures of one prompt are one value: their mean.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "sspo/eval/scorer.hpp"
#include "sspo/eval/statistics.hpp"

namespace sspo {

// A picture that was drawn for a prompt.
struct PromptPicture {
  Index prompt = 0;           // its number in the file of prompts, from 0
  std::string text, category = {};
  std::uint64_t seed = 0;
  std::string picture = {};   // its file
};

struct ScoreTable {
  std::vector<PromptPicture> pictures;
  std::vector<std::string> scorers;        // full names
  std::vector<std::vector<Score>> scores;  // [scorer][picture]
  std::vector<std::string> bad;            // [picture] why it was passed over; "": it was not
  std::vector<std::uint64_t> seeds() const;      // each once, in order
  std::vector<std::string> categories() const;   // as they come first
  std::size_t scorer(std::string_view full_name) const;  // Error{input}: none of that name
};

// A JSON object a line:
//   {"n": 0, "prompt": "bond", "category": "Abstract", "seed": 0, "picture": "pictures/0/00000.png", "scores": {"pickscore:v1:3f2a90c1d5": {"raw": .., "value": ..}}}
// or, of a picture that was passed over, "bad": "why" in place of scores.
std::string score_lines(const ScoreTable& table);
ScoreTable read_scores(const std::string& path);  // Error{file}: line and field; other scorers in one line than in the next
ScoreTable parse_scores(std::string_view lines, const io::Place& place);

struct ScoreSummary {
  Index pictures = 0, seeds = 0;
  Estimate estimate;               // n counts prompts; of their means over seeds
  double median = 0;
  double seed_deviation = 0;       // of the seeds' own means; 0 for one seed
};
// Of one category, or of all ("").
ScoreSummary summarise(const ScoreTable& table, std::string_view scorer, const Rng& rng, std::string_view category = {}, BootstrapOptions options = {});

struct PairedLine {
  Index prompts = 0;
  double mean_a = 0, mean_b = 0, median_a = 0, median_b = 0;
  double median_difference = 0;  // of a - b
  Comparison comparison;         // of the prompts' means over seeds
  Estimate wins;                 // share of pictures with a above b, ties half, a prompt's pictures together
};
struct PairedScores {
  std::vector<std::uint64_t> seeds;  // that both have
  PairedLine all;
  std::vector<PairedLine> by_seed;   // one a seed; its prompts' own values
};
// Pictures are paired by prompt and seed; pairs with a bad picture are left out. Error{input}: nothing to pair.
PairedScores compare_scores(const ScoreTable& a, const ScoreTable& b, std::string_view scorer, const Rng& rng, BootstrapOptions options = {});

}  // namespace sspo
