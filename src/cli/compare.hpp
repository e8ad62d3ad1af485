// `sspo eval compare`: folders of `sspo eval --scorers` side by side, prompt by prompt.
#pragma once
#include <string>
#include <vector>

namespace sspo::cli {

struct CompareOptions {
  std::vector<std::string> folders;  // two or more
  std::string against;               // one of them; default: the first
  std::string out;                   // a folder for comparison.md, comparison.csv, report.html; empty: the Markdown goes to stdout
  bool force = false;
};
void compare_and_tell(const CompareOptions& options);

}  // namespace sspo::cli
