#include "sspo/eval/score_table.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "io/json.hpp"
#include "io/lines.hpp"

namespace sspo {
namespace {

constexpr std::uint64_t most_bytes = std::uint64_t(1) << 30;

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum / double(values.size());
}

// One line into the table; the scorers of the first that has any are those of all.
class Reading {
 public:
  explicit Reading(ScoreTable& table) : t_(table) {}

  void add(std::string_view line, const io::Place& place) {
    const io::Json row = io::parse_json(line, place, 8);
    io::Fields f(row, place);
    PromptPicture p{.prompt = f.integer("n", 0, 1'000'000'000), .text = f.text("prompt"), .category = f.text("category", ""), .seed = seed_of(f), .picture = f.text("picture")};
    if (!seen_.emplace(p.prompt, p.seed).second) f.wrong("n", "a prompt and seed twice", "each once", std::to_string(p.prompt));
    const std::string bad = f.text("bad", "");
    const io::Json* scores = f.raw("scores");
    if (bad.empty() == !scores) f.wrong("scores", "one of two", "scores, or bad");
    t_.pictures.push_back(std::move(p));
    t_.bad.push_back(bad);
    if (scores) add_scores(*scores, place.in("scores"));
    for (std::vector<Score>& column : t_.scores) column.resize(t_.pictures.size());
  }

 private:
  static std::uint64_t seed_of(io::Fields& f) {
    const io::Json* seed = f.raw("seed");
    if (!seed || !seed->is_number_integer() || (!seed->is_number_unsigned() && seed->get<std::int64_t>() < 0)) f.wrong("seed", "wrong value", "a whole number from 0");
    return seed->get<std::uint64_t>();
  }

  void add_scores(const io::Json& scores, const io::Place& place) {
    if (!scores.is_object() || scores.empty()) io::bad_file(place, "no scores", "an object with one or more");
    const bool first = t_.scorers.empty();
    if (!first && scores.size() != t_.scorers.size()) io::bad_file(place, "other scorers than before", std::to_string(t_.scorers.size()), std::to_string(scores.size()));
    std::size_t i = 0;
    for (const auto& [name, value] : scores.items()) {
      if (first) t_.scorers.push_back(name), t_.scores.emplace_back(t_.pictures.size() - 1);
      else if (t_.scorers[i] != name) io::bad_file(place, "other scorers than before", t_.scorers[i], name);
      io::Fields f(value, place.in(name));
      t_.scores[i++].push_back({f.number("raw", -1e300, 1e300), f.number("value", -1e300, 1e300)});
    }
  }

  ScoreTable& t_;
  std::set<std::pair<Index, std::uint64_t>> seen_;
};

// Values by prompt, in the order of their numbers.
using ByPrompt = std::map<Index, std::vector<double>>;

std::vector<double> means_of(const ByPrompt& by_prompt) {
  std::vector<double> means;
  for (const auto& [prompt, values] : by_prompt) means.push_back(mean_of(values));
  return means;
}

struct Pair {
  Index prompt;
  std::uint64_t seed;
  double a, b;
};

PairedLine line_of(const std::vector<Pair>& pairs, const Rng& rng, const BootstrapOptions& options) {
  ByPrompt a, b, wins;
  for (const Pair& p : pairs) a[p.prompt].push_back(p.a), b[p.prompt].push_back(p.b), wins[p.prompt].push_back(p.a > p.b ? 1 : p.a == p.b ? 0.5 : 0);
  const std::vector<double> of_a = means_of(a), of_b = means_of(b);
  std::vector<double> difference(of_a.size());
  for (std::size_t i = 0; i < of_a.size(); ++i) difference[i] = of_a[i] - of_b[i];
  return {.prompts = Index(of_a.size()), .mean_a = mean_of(of_a), .mean_b = mean_of(of_b), .median_a = median_of(of_a), .median_b = median_of(of_b), .median_difference = median_of(difference),
          .comparison = compare(of_a, of_b, rng, options), .wins = estimate(means_of(wins), rng / "wins", options)};
}

}  // namespace

std::vector<std::uint64_t> ScoreTable::seeds() const {
  std::set<std::uint64_t> all;
  for (const PromptPicture& p : pictures) all.insert(p.seed);
  return {all.begin(), all.end()};
}

std::vector<std::string> ScoreTable::categories() const {
  std::vector<std::string> all;
  std::set<std::string> known;
  for (const PromptPicture& p : pictures)
    if (!p.category.empty() && known.insert(p.category).second) all.push_back(p.category);
  return all;
}

std::size_t ScoreTable::scorer(std::string_view full_name) const {
  const auto it = std::find(scorers.begin(), scorers.end(), full_name);
  if (it != scorers.end()) return std::size_t(it - scorers.begin());
  std::string all;
  for (const std::string& s : scorers) all += (all.empty() ? "" : ", ") + s;
  fail({.op = "scores", .what = "no scores of this scorer", .expected = "one of " + all, .got = std::string(full_name)}, Site{});
}

std::string score_lines(const ScoreTable& t) {
  std::string lines;
  for (std::size_t i = 0; i < t.pictures.size(); ++i) {
    const PromptPicture& p = t.pictures[i];
    io::Json row = {{"n", p.prompt}, {"prompt", p.text}};
    if (!p.category.empty()) row["category"] = p.category;
    row["seed"] = p.seed, row["picture"] = p.picture;
    if (!t.bad[i].empty()) row["bad"] = t.bad[i];
    else
      for (std::size_t s = 0; s < t.scorers.size(); ++s) row["scores"][t.scorers[s]] = {{"raw", t.scores[s][i].raw}, {"value", t.scores[s][i].value}};
    lines += row.dump() + "\n";
  }
  return lines;
}

ScoreTable parse_scores(std::string_view lines, const io::Place& place) {
  ScoreTable table;
  Reading reading(table);
  io::for_each_line(lines, place, [&](std::string_view line, const io::Place& at) { reading.add(line, at); });
  if (table.pictures.empty()) io::bad_file(place, "no scores", "an object a line");
  return table;
}

ScoreTable read_scores(const std::string& path) { return parse_scores(io::File(path).text(most_bytes), {.path = path}); }

ScoreSummary summarise(const ScoreTable& t, std::string_view scorer, const Rng& rng, std::string_view category, BootstrapOptions options) {
  const std::vector<Score>& scores = t.scores[t.scorer(scorer)];
  ScoreSummary s;
  ByPrompt by_prompt;
  std::map<std::uint64_t, std::vector<double>> by_seed;
  for (std::size_t i = 0; i < t.pictures.size(); ++i) {
    if (!t.bad[i].empty() || (!category.empty() && t.pictures[i].category != category)) continue;
    ++s.pictures;
    by_prompt[t.pictures[i].prompt].push_back(scores[i].value);
    by_seed[t.pictures[i].seed].push_back(scores[i].value);
  }
  if (s.pictures == 0) fail({.op = "scores", .what = "no scored picture", .expected = category.empty() ? "one or more" : "one or more of the category " + std::string(category)}, Site{});
  const std::vector<double> means = means_of(by_prompt);
  s.seeds = Index(by_seed.size());
  s.estimate = estimate(means, rng, options);
  s.median = median_of(means);
  std::vector<double> of_seeds;
  for (const auto& [seed, values] : by_seed) of_seeds.push_back(mean_of(values));
  const double mean = mean_of(of_seeds);
  for (const double v : of_seeds) s.seed_deviation += (v - mean) * (v - mean);
  s.seed_deviation = of_seeds.size() > 1 ? std::sqrt(s.seed_deviation / double(of_seeds.size() - 1)) : 0;
  return s;
}

PairedScores compare_scores(const ScoreTable& a, const ScoreTable& b, std::string_view scorer, const Rng& rng, BootstrapOptions options) {
  const std::vector<Score>&of_a = a.scores[a.scorer(scorer)], &of_b = b.scores[b.scorer(scorer)];
  std::map<std::pair<Index, std::uint64_t>, double> known;
  for (std::size_t i = 0; i < b.pictures.size(); ++i)
    if (b.bad[i].empty()) known[{b.pictures[i].prompt, b.pictures[i].seed}] = of_b[i].value;
  std::vector<Pair> pairs;
  std::map<std::uint64_t, std::vector<Pair>> by_seed;
  for (std::size_t i = 0; i < a.pictures.size(); ++i) {
    const auto it = a.bad[i].empty() ? known.find({a.pictures[i].prompt, a.pictures[i].seed}) : known.end();
    if (it == known.end()) continue;
    pairs.push_back({a.pictures[i].prompt, a.pictures[i].seed, of_a[i].value, it->second});
    by_seed[a.pictures[i].seed].push_back(pairs.back());
  }
  if (pairs.empty()) fail({.op = "compare", .what = "no picture of one has a picture of the other to be paired with", .expected = "prompts and seeds that both have"}, Site{});
  PairedScores p;
  p.all = line_of(pairs, rng / "all", options);
  for (const auto& [seed, some] : by_seed) p.seeds.push_back(seed), p.by_seed.push_back(line_of(some, rng / "seed" / seed, options));
  return p;
}

}  // namespace sspo
