#include "cli/gate_verdict.hpp"

#include <cmath>
#include <set>

#include "cli/named_scorers.hpp"
#include "cli/progress.hpp"
#include "cli/signals.hpp"
#include "sspo/eval/gate.hpp"

namespace sspo::cli {
namespace {

// The one that all winners have.
std::string style_of(const TrainData& data) {
  std::set<std::string> styles;
  for (const io::Row& row : data.rows) styles.insert(std::string(row.field("style")));
  if (styles.size() != 1 || styles.begin()->empty())
    fail({.op = "gate", .what = "the winners are not of one style", .expected = "--prefer STYLE", .got = std::to_string(styles.size()) + " styles"}, Site{});
  return *styles.begin();
}

// Style probability + caption cosine.
double judged_value(const LoadedJudge& judge, Index style, const io::Image& picture, const std::string& caption, const Device& device) {
  const Tensor seen = io::to_tensor({picture}, device);
  const double cosine = sum(judge.net.embed(judge.net.features(seen)) * judge.captions(std::vector<std::string>{caption})).item<float>();
  return softmax(judge.net.style(seen)).to_vector<float>()[std::size_t(style)] + cosine;
}

[[noreturn]] void not_finite(const std::string& scorer, const SeenPair& pair) {
  fail({.op = "gate", .what = "a score of " + scorer + " is not finite", .expected = "a number", .got = "NaN or infinite, for: " + io::printable(pair.caption),
        .hint = "its weights, or the run's, may hold NaN", .kind = ErrorKind::file}, Site{});
}

// Whether the first of the two is better: they are scored side by side.
bool first_is_better(const Scorer& scorer, const SeenPair& pair) try {
  const std::vector<io::Image> both = {pair.self, pair.fresh};
  const std::vector<Score> scores = scorer.score(both, std::vector<std::string>(2, pair.caption));
  if (!std::isfinite(scores.at(0).value) || !std::isfinite(scores.at(1).value)) not_finite(scorer.full_name(), pair);
  return scores[0].value > scores[1].value;
} catch (const Error& e) {
  if (e.info().kind == ErrorKind::non_finite) not_finite(scorer.full_name(), pair);  // what a scorer may say itself
  throw;
}

template <class F>
std::vector<bool> of_each(std::span<const SeenPair> pairs, const std::string& name, const F& better) {
  Progress progress("judging the samples", Index(pairs.size()));
  std::vector<bool> all;
  for (const SeenPair& p : pairs) {
    stop_if_interrupted();
    all.push_back(better(p));
    progress.update(Index(all.size()), name);
  }
  return all;
}

io::Json ratio_json(const Ratio& r) {
  const bool none = std::isnan(r.value);
  return {{"value", none ? io::Json() : io::Json(r.value)}, {"low", none ? io::Json() : io::Json(r.low)}, {"high", none ? io::Json() : io::Json(r.high)}, {"of", r.of}, {"pairs", r.n}};
}

io::Json verdict_json(const std::string& name, const Forecast& f) {
  return {{"name", name}, {"better", ratio_json(f.better)}, {"precision", ratio_json(f.precision)}, {"recall", ratio_json(f.recall)},
          {"mean_precision", ratio_json(f.mean_precision)}, {"mean_recall", ratio_json(f.mean_recall)}};
}

}  // namespace

GateVerdicts::GateVerdicts(const GateOptions& o, const TrainContext& c) : device_(c.device) {
  if (!o.scorers.empty() && o.weights.empty()) fail({.op = "gate", .what = "scorers without their weights", .expected = "--weights DIR"}, Site{});
  scorers_ = named_scorers(o.scorers, o.weights, {.device = c.device}, "gate");
  if (o.judge.empty()) return;
  style_ = o.prefer.empty() ? style_of(c.data) : o.prefer;
  judge_.emplace(load_judge(o.judge, c.device));
  judge_->style_named(style_);
}

std::vector<bool> GateVerdicts::judged(std::span<const SeenPair> pairs) const {
  const Index style = judge_->style_named(style_);
  const auto value = [&](const io::Image& picture, const SeenPair& p) { return judged_value(*judge_, style, picture, p.caption, device_); };
  return of_each(pairs, "judge", [&](const SeenPair& p) { return value(p.self, p) > value(p.fresh, p); });
}

io::Json GateVerdicts::operator()(std::span<const SeenPair> pairs, std::span<const std::vector<double>> gains, const Rng& rng) const {
  io::Json all = io::Json::array();
  if (judge_) all.push_back(verdict_json("judge:" + style_ + ":" + judge_->hash.substr(0, 10), sign_forecast(gains, judged(pairs), rng)));
  for (const NamedScorer& named : scorers_) {
    const Scorer scorer = named.load();
    const std::vector<bool> better = of_each(pairs, named.name, [&](const SeenPair& p) { return first_is_better(scorer, p); });
    all.push_back(verdict_json(scorer.full_name(), sign_forecast(gains, better, rng)));
  }
  return all;
}

}  // namespace sspo::cli
