#include "cli/compare.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "cli/files.hpp"
#include "report/comparison.hpp"

namespace sspo::cli {

void compare_and_tell(const CompareOptions& o) {
  std::vector<std::string> folders = o.folders;
  if (!o.against.empty() && std::find(folders.begin(), folders.end(), o.against) == folders.end()) folders.push_back(o.against);
  std::vector<Evaluation> all;
  for (std::size_t i = 0; i < folders.size(); ++i) {
    if (std::find(folders.begin(), folders.begin() + std::ptrdiff_t(i), folders[i]) != folders.begin() + std::ptrdiff_t(i))
      fail({.op = "compare", .what = "a folder twice", .expected = "each once", .got = io::printable(folders[i])}, Site{});
    all.push_back(read_evaluation(folders[i]));
  }
  const std::size_t against = o.against.empty() ? 0 : std::size_t(std::find(folders.begin(), folders.end(), o.against) - folders.begin());
  const EvaluationComparison c = compare_evaluations(all, against, Rng(0) / "compare");
  if (o.out.empty()) {
    fmt::print("{}", report::comparison_markdown(c));
    return;
  }
  make_output_folder(o.out, o.force);
  for (const auto& [name, text] : {std::pair("/comparison.md", report::comparison_markdown(c)), {"/comparison.csv", report::comparison_csv(c)}, {"/report.html", report::comparison_page(c)}}) {
    io::write_file(o.out + name, text);
    fmt::print(stderr, "{}\n", io::printable(o.out + name, 4096));
  }
}

}  // namespace sspo::cli
