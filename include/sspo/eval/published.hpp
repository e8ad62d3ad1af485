// Figures that others have published, and how they drew and measured: ours stand beside them only where the protocol is the same.
//   for (const Protocol& p : protocols())
//     if (differences(p, evaluation.settings).empty()) ... published_figures(p.name) ...
// Source: the specification, end of section 5 (figures of the SSPO paper, arXiv 2410.05255, and of the LPO paper's measurement of released checkpoints).
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sspo/eval/evaluation.hpp"

namespace sspo {

struct Protocol {
  std::string_view name;      // "paper", "lpo": of recipes/eval-NAME.toml, too
  std::string_view title;
  std::string_view source;
  std::string_view prompt_form;  // name_of(PromptForm)
  Index prompts;
  std::string_view sampler;   // "": not told
  Index steps, size;          // 0: not told
  double guidance;            // 0: not told
};
std::span<const Protocol> protocols();

struct PublishedFigure {
  std::string_view protocol, method, scorer;  // scorer: its short name
  double value;                               // a mean over one picture a prompt, of one run
  int digits;                                 // as printed
};
std::span<const PublishedFigure> published_figures();

// "steps: 50 there, 20 here"; empty: the same protocol, as far as it is told.
std::vector<std::string> differences(const Protocol& protocol, const EvalSettings& settings);

// What a scorer must say of a picture that its publishers name, as they print it. A scorer that is not in the table has no such number.
struct ScorerFixture {
  std::string_view scorer, picture, prompt;  // picture: its file's name
  double value;
  double tolerance;                          // "may be slightly different depending on the device"
  std::string_view source;
};
std::span<const ScorerFixture> scorer_fixtures();

}  // namespace sspo
