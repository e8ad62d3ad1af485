// The report of one training run, whatever its objective: out of recipe.toml, metrics.jsonl and what else lies in the folder.
//   io::write_file("out/run/report.html", run_report("out/run"));
#pragma once
#include "report/run_log.hpp"
#include "report/html.hpp"

namespace sspo::report {

std::string run_report(const std::filesystem::path& run);

// --- its parts, for other pages. Empty where the run has nothing of the kind.
Html run_settings(const RunLog& run);    // what was run: the recipe in brief, and whole
Html run_measured(const RunLog& run);    // losses, time and memory
Html run_curves(const RunLog& run);
Html gate_curves(const RunLog& run);     // share of s over updates and by timestep
Html run_references(const RunLog& run);  // which checkpoint was the reference of which phase
Html run_held_out(const RunLog& run);    // held_out.json
Html run_samples(const RunLog& run);     // samples/*.png

// Mean of the first and of the last twentieth of a column; NaN without values.
struct Ends {
  double first, last;
};
Ends ends_of(const std::vector<double>& column);
// Share of s = +1, 0, -1 among all samples of timestep bin 0 ... 9 over the run; n = 0 where there was none.
struct BinShares {
  double n = 0, plus = 0, zero = 0, minus = 0;
};
std::vector<BinShares> shares_by_bin(const RunLog& run);

}  // namespace sspo::report
