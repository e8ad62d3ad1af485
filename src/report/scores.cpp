#include "report/scores.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "report/run_log.hpp"

namespace sspo::report {
namespace {

// The mean difference of each prompt, in the order of their names.
std::map<std::string, std::pair<double, double>> paired(const Scored& a, const Scored& b, const Measure& m, const std::string& split) {
  std::map<std::pair<std::string, Index>, double> of_b;
  for (const Score& s : b.rows)
    if (s.split == split) of_b[{s.name, s.n}] = m.of(s);
  std::map<std::string, std::pair<double, double>> sums;  // sum, count
  for (const Score& s : a.rows) {
    const auto it = s.split == split ? of_b.find({s.name, s.n}) : of_b.end();
    if (it == of_b.end() || !std::isfinite(m.of(s) - it->second)) continue;
    sums[s.name].first += m.of(s) - it->second;
    ++sums[s.name].second;
  }
  return sums;
}

}  // namespace

Scored read_scores(const std::filesystem::path& folder) {
  Scored scored{.rows = {}, .folder = folder};
  for (const io::Json& row : find_lines(folder / "scores.jsonl")) {
    const auto value = [&](const char* name) { return number_at(row, {name}); };
    const double n = value("n");
    scored.rows.push_back({text_at(row, "name"), text_at(row, "split", "train"), std::isfinite(n) ? Index(n) : 0, value("near_pixels"), value("near_features"), value("style"), value("caption"), value("rank")});
  }
  if (const auto json = find_json(folder / "summary.json"); json && json->is_object()) scored.summary = *json;
  return scored;
}

std::vector<std::string> splits_of(const std::vector<const Scored*>& all) {
  std::vector<std::string> found;
  for (const Scored* s : all)
    for (const Score& row : s->rows)
      if (std::find(found.begin(), found.end(), row.split) == found.end()) found.push_back(row.split);
  std::stable_sort(found.begin(), found.end(), [](const std::string& a, const std::string& b) { return (a == "train") > (b == "train"); });
  return found;
}

const std::vector<Measure>& measures() {
  static const std::vector<Measure> all = {
      {"near", "near", "share of samples that are closer, in pixels, to the preferred style's picture of the name than to the other style's", [](const Score& s) { return s.near_pixels; }},
      {"near_features", "near, in features", "the same by the judge's features", [](const Score& s) { return s.near_features; }},
      {"style", "style", "the judge's mean probability of the preferred style", [](const Score& s) { return s.style; }},
      {"caption", "caption", "mean cosine of picture and caption in the judge's space", [](const Score& s) { return s.caption; }},
      {"R@1", "R@1", "share of samples whose own caption is the nearest of all names", [](const Score& s) { return std::isfinite(s.rank) ? double(s.rank == 1) : NAN; }},
  };
  return all;
}

double mean_of(const Scored& s, const Measure& m, const std::string& split) {
  double sum = 0, n = 0;
  for (const Score& row : s.rows)
    if (row.split == split && std::isfinite(m.of(row))) sum += m.of(row), ++n;
  return n > 0 ? sum / n : NAN;
}

OverSeeds over_seeds(const std::vector<double>& means) {
  OverSeeds o{.mean = 0, .deviation = NAN};
  double squares = 0;
  for (const double m : means)
    if (std::isfinite(m)) ++o.seeds, o.mean += m;
  o.mean = o.seeds ? o.mean / double(o.seeds) : NAN;
  for (const double m : means)
    if (std::isfinite(m)) squares += (m - o.mean) * (m - o.mean);
  if (o.seeds > 1) o.deviation = std::sqrt(squares / double(o.seeds - 1));
  return o;
}

Difference difference(const ScoredPairs& pairs, const Measure& m, const std::string& split, const Rng& rng, Index draws) {
  std::map<std::string, std::pair<double, double>> sums;  // over seeds
  std::vector<double> of_seed;
  for (const auto& [a, b] : pairs) {
    double sum = 0, n = 0;
    for (const auto& [name, value] : paired(*a, *b, m, split)) {
      sums[name].first += value.first, sums[name].second += value.second;
      sum += value.first, n += value.second;
    }
    if (n > 0) of_seed.push_back(sum / n);
  }
  std::vector<double> values;
  for (const auto& [name, value] : sums) values.push_back(value.first / value.second);
  Difference d{.prompts = values.size(), .seeds = of_seed.size()};
  if (values.empty()) return d;
  const Comparison c = compare(values, std::vector<double>(values.size(), 0.0), rng, {.draws = draws});
  d.mean = c.difference.mean, d.low = c.difference.low, d.high = c.difference.high, d.p = c.p;
  for (const double s : of_seed) d.agree += s * d.mean > 0;
  return d;
}

}  // namespace sspo::report
