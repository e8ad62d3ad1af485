// sspo report: report.html of a run, or of a demo.
#pragma once
#include <string>

namespace sspo::cli {

struct ReportCommand {
  std::string folder, out;  // out empty: FOLDER/report.html
  bool json = false;
};
// A folder with demo.json is a demo, one with recipe.toml a run; else Error{file}.
void write_report(const ReportCommand& command);

}  // namespace sspo::cli
