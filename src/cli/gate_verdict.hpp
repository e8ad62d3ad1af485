// Is the self-sample x_0^r better than a fresh sample of theta for the same prompt? A judge and published scorers say it, pair by pair;
// the gate's s = -1 is a forecast of it.                                                                            spec §4 (c)
//   const GateVerdicts verdicts(options, context);           // before anything is computed: what cannot be asked shows now
//   json["verdicts"] = verdicts(seen, gains, rng);
#pragma once
#include <optional>
#include <span>

#include "cli/gate.hpp"
#include "cli/train_tasks.hpp"
#include "sspo/eval/judge.hpp"
#include "sspo/eval/scoring.hpp"

namespace sspo::cli {

struct SeenPair {
  io::Image self, fresh;
  std::string caption;  // the prompt
};

class GateVerdicts {
 public:
  // Loads the judge. Error: winners of several styles, and no o.prefer; else as load_judge, named_scorers.
  GateVerdicts(const GateOptions& o, const TrainContext& c);
  bool none() const { return !judge_ && scorers_.empty(); }
  // The judge goes by the probability of its style plus the cosine of picture and caption, and is named "judge:STYLE:HASH"; a scorer by its
  // value, and is named in full. One scorer is in memory at a time. Error{file}: a score that is not finite.
  io::Json operator()(std::span<const SeenPair> pairs, std::span<const std::vector<double>> gains, const Rng& rng) const;

 private:
  std::vector<bool> judged(std::span<const SeenPair> pairs) const;

  Device device_;
  std::optional<LoadedJudge> judge_;
  std::string style_;
  std::vector<NamedScorer> scorers_;
};

}  // namespace sspo::cli
