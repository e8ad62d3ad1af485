// Comparisons as tables: the page escapes what comes from outside, CSV and Markdown hold the same numbers.
#include <sstream>

#include "report/comparison.hpp"
#include "report/page_text.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::report;

namespace {

Evaluation evaluation(const std::string& name, double shift, Index seeds = 2, const std::string& scorer = "pickscore:v1:00") {
  Evaluation e{.name = name, .folder = "out/" + name, .settings = {}, .table = {}};
  e.settings = {.prompt_form = "parquet", .prompt_digest = "abcdef0123456789", .prompts = 500, .drawn = true, .sampler = "pndm", .steps = 50, .height = 512, .width = 512, .guidance = 7.5, .scored_in = "f32", .batch = 8};
  e.table = {.pictures = {}, .scorers = {scorer, "imagereward:v1:11"}, .scores = {{}, {}}, .bad = {}};
  for (Index s = 0; s < seeds; ++s)
    for (Index p = 0; p < 30; ++p) {
      e.table.pictures.push_back({p, "prompt", p % 2 ? "Odd | <ones>" : "Even, \"ones\"", std::uint64_t(s), "p"});
      e.table.bad.emplace_back();
      const double noise = double((p * 7 + s * 3) % 11) / 100;
      e.table.scores[0].push_back({0.2, 20 + double(p) / 10 + shift + (shift != 0 ? noise : 0)}), e.table.scores[1].push_back({0, double(p) / 30});
    }
  return e;
}

}  // namespace

TEST_CASE("comparison: a page, whole and clean") {
  const std::string hostile = "a|b<script>alert('&')</script>";
  const EvaluationComparison c = compare_evaluations({evaluation("sft", 0), evaluation(hostile, 0.25)}, 0, Rng{0}, {.draws = 200});
  const std::string html = comparison_page(c);
  CHECK(!holds(html, "<script"));
  CHECK(!holds(html, "http"));
  CHECK(!holds(html, "nan"));
  CHECK(holds(html, "&lt;script&gt;"));
  for (const char* tag : {"section", "table", "svg", "div", "figure"}) CHECK(count(html, "<" + std::string(tag) + ">") + count(html, "<" + std::string(tag) + " ") == count(html, "</" + std::string(tag) + ">"));
  for (const char* title : {"In words", "Scores", "Differences, seed by seed", "By category", "Published figures: the authors&#39; own", "How it was done"}) CHECK(holds(html, title));
  CHECK(holds(html, "21.57"));   // the paper's protocol
  CHECK(!holds(html, "20.99"));  // not LPO's: it stands under what differs
  CHECK(holds(html, "sampler: ddim there, pndm here"));
  CHECK(holds(html, "pickscore higher by 0.3"));
  CHECK(holds(html, "n 30, 2 seeds"));
}

TEST_CASE("comparison: Markdown rows have as many cells as their head") {
  const EvaluationComparison c = compare_evaluations({evaluation("sft", 0), evaluation("a|b_[x](y)", 0.25), evaluation("spin", -0.1)}, 0, Rng{0}, {.draws = 200});
  std::istringstream lines(comparison_markdown(c));
  std::size_t cells = 0, tables = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] != '|') {
      cells = 0;
      continue;
    }
    std::size_t here = 0;
    for (std::size_t i = 0; i < line.size(); ++i) here += line[i] == '|' && (i == 0 || line[i - 1] != '\\');
    tables += cells == 0;
    if (cells) CHECK(here == cells);
    cells = here;
  }
  CHECK(tables == 7);
}

TEST_CASE("comparison: CSV has a number a line, of both ways to look") {
  const EvaluationComparison c = compare_evaluations({evaluation("sft", 0, 1), evaluation("ss,po", 0.25, 1)}, 0, Rng{0}, {.draws = 200});
  const std::string csv = comparison_csv(c);
  std::istringstream lines(csv);
  for (std::string line; std::getline(lines, line);) {
    std::size_t commas = 0;
    bool quoted = false;
    for (const char ch : line) quoted ^= ch == '"', commas += ch == ',' && !quoted;
    INFO(line);
    CHECK(commas == 12);
  }
  CHECK(holds(csv, "score,\"ss,po\",,pickscore:v1:00,,,mean,"));
  CHECK(holds(csv, "score,sft,,pickscore:v1:00,\"Even, \"\"ones\"\"\",,mean,"));
  CHECK(holds(csv, "difference,\"ss,po\",sft,pickscore:v1:00,,,win rate,1,1,1,,30,1"));
  CHECK(!holds(csv, ",0,mean,"));  // one seed: no line of its own
  CHECK(holds(csv, "published: paper,SSPO,,pickscore,,,mean,21.57,,,,500,1"));
}

TEST_CASE("comparison: no published figure without the protocol, and scorers of one alone are told") {
  std::vector<Evaluation> all = {evaluation("a", 0), evaluation("b", 0.1)};
  for (Evaluation& e : all) e.settings.steps = 20;
  all[1].table.scorers.pop_back(), all[1].table.scores.pop_back();
  const EvaluationComparison c = compare_evaluations(all, 0, Rng{0}, {.draws = 200});
  const std::string page = comparison_page(c);
  CHECK(!holds(page, "21.57"));
  CHECK(holds(page, "steps: 50 there, 20 here"));
  CHECK(holds(page, "Left out: imagereward, which stands in a alone."));
  CHECK(!holds(comparison_csv(c), "published"));
}
