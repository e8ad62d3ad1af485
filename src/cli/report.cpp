#include "cli/report.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "io/json.hpp"
#include "report/demo_folder.hpp"
#include "report/run_page.hpp"

namespace sspo::cli {

void write_report(const ReportCommand& o) {
  namespace fs = std::filesystem;
  std::error_code none;
  const fs::path folder = o.folder;
  const bool demo = fs::exists(folder / "demo.json", none);
  if (!demo && !fs::exists(folder / "recipe.toml", none))
    io::bad_file({.path = o.folder}, "neither a run nor a demo", "a folder with recipe.toml, of sspo train, or with demo.json, of sspo demo", fs::is_directory(folder, none) ? "neither file" : "no folder");
  const std::string out = o.out.empty() ? (folder / "report.html").string() : o.out;
  const std::string html = demo ? report::demo_report(folder) : report::run_report(folder);
  io::write_file(out, html);
  if (o.json) fmt::print("{}\n", io::Json{{"out", io::printable(out, 4096)}, {"kind", demo ? "demo" : "run"}, {"bytes", html.size()}}.dump());
  else fmt::print(stderr, "{}\n", io::printable(out, 4096));
}

}  // namespace sspo::cli
