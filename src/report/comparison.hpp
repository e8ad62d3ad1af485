// Evaluations side by side, as `sspo eval compare` writes them: tables for a paper, for a spreadsheet, and a page.
//   const EvaluationComparison c = compare_evaluations(all, 0, Rng{0});
//   io::write_file("report.html", comparison_page(c));
#pragma once
#include "report/html.hpp"
#include "sspo/eval/published.hpp"

namespace sspo::report {

struct TitledTable {
  std::string title, note;
  Table table;
};
// Scores; differences; the same by seed; by category; published figures where a protocol is the same; protocols. Each number with its
// prompts, seeds and interval. Empty ones are left out.
std::vector<TitledTable> comparison_tables(const EvaluationComparison& c);

std::string comparison_page(const EvaluationComparison& c);      // HTML
std::string comparison_markdown(const EvaluationComparison& c);
// One number a line: table, evaluation, against, scorer, category, seed, quantity, value, low, high, p, n, seeds. Fields in quotes where they hold , or ".
std::string comparison_csv(const EvaluationComparison& c);

}  // namespace sspo::report
