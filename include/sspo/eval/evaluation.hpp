// What `sspo eval --scorers` left in a folder, and several such folders side by side.
//   std::vector<Evaluation> all = {read_evaluation("out/sspo"), read_evaluation("out/sft")};
//   EvaluationComparison c = compare_evaluations(all, 1, Rng{0});       // each against SFT, prompt by prompt
#pragma once
#include <string>
#include <vector>

#include "sspo/eval/score_table.hpp"

namespace sspo {

// eval.json: what the scores are a function of.
struct EvalSettings {
  std::string prompt_form, prompt_digest;
  Index prompts = 0, limit = 0;
  bool drawn = false;        // by a model, in the way told next; false: pictures from a folder, of which nothing is known
  std::string sampler = {};
  Index steps = 0, height = 0, width = 0;
  double guidance = 0;
  std::string negative_prompt = {}, drawn_in = {};  // drawn_in, scored_in: f32, bf16
  std::string scored_in = {};
  Index batch = 0;
};

struct Evaluation {
  std::string name, folder;
  EvalSettings settings;
  ScoreTable table;
};
// Error{file}: no evaluation, or one that is not finished.
Evaluation read_evaluation(const std::string& folder);

struct ComparedScorer {
  std::string scorer;                    // full name
  std::vector<ScoreSummary> summaries;   // one an evaluation
  std::vector<PairedScores> pairs;       // the same; that of `against` is with itself
  std::vector<std::vector<ScoreSummary>> categories;  // [category][evaluation]
};
struct EvaluationComparison {
  std::vector<std::string> names;        // of the evaluations; folders where two end alike
  std::vector<EvalSettings> settings;
  std::size_t against = 0;
  std::vector<ComparedScorer> scorers;   // that all have
  std::vector<std::string> left_out;     // "hpsv2.0, which stands in sft alone"
  std::vector<std::string> categories;
};
// Error{input}: evaluations of other prompts, a scorer of other versions or weights (named), no scorer in common.
EvaluationComparison compare_evaluations(const std::vector<Evaluation>& all, std::size_t against, const Rng& rng, BootstrapOptions options = {});

std::string short_name(std::string_view full_name);  // "pickscore" of "pickscore:v1:3f2a90c1d5"

}  // namespace sspo
