// Tables of scores: lines, summaries, paired comparisons.
#include <algorithm>

#include "sspo/eval/score_table.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

// value(prompt, seed) of scorer "s:v1:00".
template <class F>
ScoreTable table_of(Index prompts, Index seeds, F value) {
  ScoreTable t{.pictures = {}, .scorers = {"s:v1:00"}, .scores = {{}}, .bad = {}};
  for (Index s = 0; s < seeds; ++s)
    for (Index p = 0; p < prompts; ++p) {
      t.pictures.push_back({p, "prompt " + std::to_string(p), p % 2 ? "odd" : "even", std::uint64_t(s), std::to_string(s) + "/" + std::to_string(p) + ".png"});
      t.scores[0].push_back({value(p, s) / 100, value(p, s)});
      t.bad.emplace_back();
    }
  return t;
}

}  // namespace

TEST_CASE("score table: lines are read back to the bit") {
  ScoreTable t = table_of(5, 2, [](Index p, Index s) { return 0.1 * double(p) + 1.0 / 3 * double(s); });
  t.scorers.push_back("t \"x\":v2:11"), t.scores.push_back(t.scores[0]);
  t.bad[0] = "not a picture", t.scores[0][0] = t.scores[1][0] = {};
  const std::string lines = score_lines(t);
  const ScoreTable back = parse_scores(lines, {.path = "f"});
  CHECK(score_lines(back) == lines);
  CHECK(back.seeds() == std::vector<std::uint64_t>{0, 1});
  CHECK(back.categories() == std::vector<std::string>{"even", "odd"});
  CHECK(back.scores[1][9].value == t.scores[0][9].value);
  check_error([&] { (void)t.scorer("u"); }, {"no scores of this scorer", "s:v1:00"});
}

TEST_CASE("score table: lines that are none") {
  const std::string row = R"({"n":0,"prompt":"a","seed":0,"picture":"0.png","scores":{"s":{"raw":1,"value":2}}})";
  const auto refused = [&](const std::string& lines, std::initializer_list<const char*> parts) { check_error([&] { parse_scores(lines, {.path = "s.jsonl"}); }, parts); };
  CHECK(parse_scores(row, {.path = "f"}).scores[0][0].value == 2);
  refused("", {"no scores"});
  refused(row + "\n" + row, {"s.jsonl:2: n: ", "twice"});
  refused(R"({"n":-1,"prompt":"a","seed":0,"picture":"p","bad":"x"})", {"s.jsonl:1: n: "});
  refused(R"({"n":0,"prompt":"a","seed":-3,"picture":"p","bad":"x"})", {"s.jsonl:1: seed: "});
  refused(R"({"n":0,"prompt":"a","seed":0,"picture":"p"})", {"s.jsonl:1: scores: ", "scores, or bad"});
  refused(row + "\n" + R"({"n":1,"prompt":"a","seed":0,"picture":"p","scores":{"t":{"raw":1,"value":2}}})", {"s.jsonl:2: scores: other scorers", "got t"});
  refused(R"({"n":0,"prompt":"a","seed":0,"picture":"p","scores":{"s":{"raw":null,"value":2}}})", {"s.jsonl:1: scores.s.raw"});
  refused("{}\n[", {"s.jsonl:1"});
}

TEST_CASE("score table: a prompt's pictures are one value") {
  const ScoreTable t = table_of(6, 2, [](Index p, Index s) { return double(p) + (s ? 0.5 : -0.5); });
  const ScoreSummary all = summarise(t, "s:v1:00", Rng{1});
  CHECK(all.pictures == 12);
  CHECK(all.seeds == 2);
  CHECK(all.estimate.n == 6);
  CHECK(all.estimate.mean == doctest::Approx(2.5));
  CHECK(all.estimate.deviation == doctest::Approx(std::sqrt(3.5)));  // of 0 ... 5, not of twelve values
  CHECK(all.median == doctest::Approx(2.5));
  CHECK(all.seed_deviation == doctest::Approx(std::sqrt(0.5)));      // of 2 and 3
  CHECK(summarise(t, "s:v1:00", Rng{1}, "odd").estimate.mean == doctest::Approx(3));
  CHECK(summarise(t, "s:v1:00", Rng{1}).estimate.low == all.estimate.low);
  ScoreTable bad = t;
  bad.bad[0] = bad.bad[6] = "gone";  // prompt 0, both seeds
  CHECK(summarise(bad, "s:v1:00", Rng{1}).estimate.n == 5);
  check_error([&] { summarise(t, "s:v1:00", Rng{1}, "none"); }, {"no scored picture", "none"});
}

TEST_CASE("score table: pairs by prompt and seed, in whatever order they stand") {
  const ScoreTable a = table_of(20, 3, [](Index p, Index s) { return double(p * p % 7) + double(s) + (p == 3 ? -2 : 1); });
  ScoreTable b = table_of(20, 2, [](Index p, Index s) { return double(p * p % 7) + double(s); });
  std::reverse(b.pictures.begin(), b.pictures.end()), std::reverse(b.scores[0].begin(), b.scores[0].end());
  const PairedScores p = compare_scores(a, b, "s:v1:00", Rng{2});
  CHECK(p.seeds == std::vector<std::uint64_t>{0, 1});
  CHECK(p.all.prompts == 20);
  CHECK(p.all.comparison.difference.mean == doctest::Approx(0.85));  // (19 - 2) / 20
  CHECK(p.all.mean_a - p.all.mean_b == doctest::Approx(0.85));
  CHECK(p.all.median_difference == doctest::Approx(1));
  CHECK(p.all.comparison.wins == doctest::Approx(0.95));
  CHECK(p.all.wins.mean == doctest::Approx(0.95));
  CHECK(p.all.wins.low < 0.95);
  CHECK(p.all.comparison.p < 0.01);
  REQUIRE(p.by_seed.size() == 2);
  CHECK(p.by_seed[1].comparison.difference.mean == doctest::Approx(0.85));
  const PairedScores same = compare_scores(a, a, "s:v1:00", Rng{2});
  CHECK(same.all.comparison.p == 1);
  CHECK(same.all.wins.mean == 0.5);
  b.bad.assign(40, "gone");
  check_error([&] { compare_scores(a, b, "s:v1:00", Rng{2}); }, {"to be paired with"});
  for (std::size_t i = 0; i < 40; ++i) b.bad[i] = b.pictures[i].prompt == 3 ? "gone" : "";
  CHECK(compare_scores(a, b, "s:v1:00", Rng{2}).all.comparison.difference.mean == doctest::Approx(1));  // the pair is left out
}
