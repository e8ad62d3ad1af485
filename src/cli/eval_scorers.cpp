#include "cli/eval_scorers.hpp"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>

#include "cli/device.hpp"
#include "io/json.hpp"
#include "sspo/eval/published.hpp"

namespace sspo::cli {
namespace {

bool there(const std::string& path) {
  std::error_code none;
  return std::filesystem::exists(path, none);
}

io::Json fixture_json(const ScorerFixture& f) { return {{"picture", f.picture}, {"prompt", f.prompt}, {"value", f.value}, {"tolerance", f.tolerance}, {"source", f.source}}; }

// Of one scorer, over the fixtures whose pictures lie there.
io::Json check(const ScorerKind& kind, const EvalScorersOptions& o) {
  io::Json results = io::Json::array();
  const std::string path = o.weights + "/" + std::string(kind.name);
  Scorer scorer;
  for (const ScorerFixture& f : scorer_fixtures()) {
    const std::string picture = o.fixtures + "/" + std::string(f.picture);
    if (f.scorer != kind.name || !there(picture) || !there(path)) continue;
    if (!scorer.score) scorer = load_scorer(kind.name, path, {.device = device_of(o.device), .dtype = dtype_of(o.device)});
    const io::Image image = io::read_image(picture);
    const std::string prompt(f.prompt);
    const double value = scorer.score({&image, 1}, {&prompt, 1}).at(0).value;
    io::Json result = fixture_json(f);
    result["scorer"] = scorer.full_name(), result["got"] = value, result["holds"] = std::abs(value - f.value) <= f.tolerance;
    results.push_back(result);
  }
  return results;
}

}  // namespace

void eval_scorers(const EvalScorersOptions& o) {
  io::Json all = io::Json::array(), checked = io::Json::array();
  for (const ScorerKind& k : scorer_kinds()) {
    io::Json fixtures = io::Json::array();
    for (const ScorerFixture& f : scorer_fixtures())
      if (f.scorer == k.name) fixtures.push_back(fixture_json(f));
    const std::string path = o.weights + "/" + std::string(k.name);
    all.push_back({{"name", k.name}, {"version", k.version}, {"measures", k.measures}, {"needs", k.needs}, {"path", io::printable(path, 4096)}, {"there", there(path)}, {"fixtures", fixtures}});
    if (!o.fixtures.empty())
      for (const io::Json& result : check(k, o)) checked.push_back(result);
  }
  if (!o.fixtures.empty() && checked.empty()) io::bad_file({.path = o.fixtures}, "nothing to check", "a fixture's picture here, and its scorer's weights in " + o.weights);
  if (o.json) fmt::print("{}\n", io::Json{{"scorers", all}, {"checked", checked}}.dump(2));
  for (const io::Json& s : all) {
    if (o.json) break;
    fmt::print("{} ({})\n  {}\n  needs     {}\n  weights   {}: {}\n", s["name"].get<std::string>(), s["version"].get<std::string>(), s["measures"].get<std::string>(), s["needs"].get<std::string>(),
               s["path"].get<std::string>(), s["there"].get<bool>() ? "there" : "not there");
    if (s["fixtures"].empty()) fmt::print("  fixture   none: its publishers print no number for a named picture\n");
    for (const io::Json& f : s["fixtures"])
      fmt::print("  fixture   {:.4f} of {} with \"{}\" ({})\n", f["value"].get<double>(), f["picture"].get<std::string>(), f["prompt"].get<std::string>(), f["source"].get<std::string>());
  }
  for (const io::Json& c : checked)
    if (!o.json)
      fmt::print("{}  {}: {:.4f}, published {:.4f}: {}\n", c["scorer"].get<std::string>(), c["picture"].get<std::string>(), c["got"].get<double>(), c["value"].get<double>(), c["holds"].get<bool>() ? "holds" : "IS OFF");
  for (const io::Json& c : checked)
    if (!c["holds"].get<bool>())
      io::bad_file({.path = o.fixtures + "/" + c["picture"].get<std::string>()}, c["scorer"].get<std::string>() + " does not say what its publishers print", fmt::format("{:.4f} within {}", c["value"].get<double>(), c["tolerance"].get<double>()),
                   fmt::format("{:.4f}", c["got"].get<double>()), "other weights, or another picture, lie there");
}

}  // namespace sspo::cli
