#include "report/run_page.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include "report/gate_section.hpp"
#include "report/pair_section.hpp"
#include "report/picture.hpp"

namespace sspo::report {
namespace {

namespace fs = std::filesystem;

// What a reader asks first; the whole recipe stands beneath.
const std::vector<std::pair<const char*, const char*>> main_keys = {
    {"objective", "objective"}, {"seed", "seed"}, {"model.path", "starts from"}, {"data.path", "data"}, {"data.where", "rows of which this holds"},
    {"train.steps", "steps"}, {"train.batch", "batch"}, {"preference.phases", "phases"}, {"preference.updates", "updates a phase"}, {"preference.prompts", "prompts a phase"},
    {"preference.gate", "gate"}, {"preference.kappa", "kappa"}, {"preference.beta", "beta (kappa = beta / 2)"}, {"preference.reference", "reference"},
    {"optimizer.lr", "learning rate"}, {"lr.schedule", "its schedule"}, {"train.ema", "weight average (EMA)"}, {"sampling.steps", "self-sampling steps"}, {"sampling.guidance", "guidance"}};

Cell words(const std::string& s) { return {s}; }

}  // namespace

Ends ends_of(const std::vector<double>& column) {
  std::vector<double> told;
  for (const double v : column)
    if (std::isfinite(v)) told.push_back(v);
  if (told.empty()) return {NAN, NAN};
  const std::size_t part = std::max<std::size_t>(1, told.size() / 20);
  Ends e{0, 0};
  for (std::size_t i = 0; i < part; ++i) e.first += told[i] / double(part), e.last += told[told.size() - 1 - i] / double(part);
  return e;
}

Html run_settings(const RunLog& run) {
  if (run.recipe_text().empty()) return note("No recipe.toml lies in the folder.");
  Table t{.words = true};
  const bool kappa = !run.recipe("preference.kappa").empty();
  for (const auto& [name, title] : main_keys)
    if (const std::string value = run.recipe(name); !value.empty() && !(kappa && std::string_view(name) == "preference.beta")) t.rows.push_back({words(title), words(value)});
  return table(t) + folded("The whole recipe", preformatted(run.recipe_text()));
}

Html run_measured(const RunLog& run) {
  if (run.steps().empty()) return note("No metrics.jsonl lies in the folder: nothing was measured.");
  Table t{.words = true};
  const Ends loss = ends_of(run.column("loss"));
  std::vector<double> ms = run.column("wall_ms");
  std::erase_if(ms, [](double v) { return !std::isfinite(v); });
  t.rows.push_back({words("steps finished"), words(short_number(run.steps().back()))});
  t.rows.push_back({words("loss, mean of the first and the last twentieth"), words(short_number(loss.first) + " \u2192 " + short_number(loss.last))});
  if (!ms.empty()) {
    std::sort(ms.begin(), ms.end());
    t.rows.push_back({words("training steps"), words(seconds(run.total("wall_ms") / 1e3) + ", median " + short_number(ms[ms.size() / 2]) + " ms a step")});
  }
  if (run.has("wall_phase_ms")) t.rows.push_back({words("before the phases: self-sampling, caches"), words(seconds(run.total("wall_phase_ms") / 1e3))});
  const std::vector<double> peak = run.column("wall_peak_bytes");
  double most = 0;
  for (const double v : peak) most = std::isfinite(v) ? std::max(most, v) : most;
  if (most > 0) t.rows.push_back({words("peak memory in tensors"), words(bytes(most))});
  if (run.total("skipped") > 0) t.rows.push_back({words("steps skipped for a large gradient"), words(short_number(run.total("skipped")))});
  return table(t);
}

Html run_references(const RunLog& run) {
  if (!run.has("reference") || !run.has("phase")) return {};
  Table t{.head = {"phase", "reference", "updates"}};
  const std::vector<double> phase = run.column("phase"), reference = run.column("reference");
  for (std::size_t i = 0, first = 0; i <= phase.size(); ++i) {
    if (i < phase.size() && phase[i] == phase[first]) continue;
    double low = reference[first], high = low;
    for (std::size_t j = first; j < i; ++j) low = std::min(low, reference[j]), high = std::max(high, reference[j]);
    t.rows.push_back({{short_number(phase[first])}, {low == high ? "C[" + short_number(low) + "]" : "C[" + short_number(low) + "] to C[" + short_number(high) + "], drawn anew"},
                      {short_number(run.steps()[first]) + " to " + short_number(run.steps()[i - 1])}});
    first = i;
  }
  return paragraph("C[0] is the model that training started from, C[k] the policy after phase k. The reference of a phase is drawn from these; it is frozen, and it draws the phase's self-samples.") + table(t);
}

Html run_held_out(const RunLog& run) {
  const auto json = find_json(run.folder() / "held_out.json");
  if (!json || !json->is_object()) return {};
  Table t{.head = {"measure", "value"}, .rows = {}};
  const std::function<void(const std::string&, const io::Json&)> add = [&](const std::string& name, const io::Json& v) {
    if (v.is_number()) t.rows.push_back({{name}, {v.is_number_integer() ? v.dump() : short_number(v.get<double>())}});
    else if (v.is_string()) t.rows.push_back({{name}, {v.get<std::string>()}});
    else if (v.is_object())
      for (const auto& [inner, value] : v.items()) add(name.empty() ? inner : name + ": " + inner, value);
  };
  add("", *json);
  return t.rows.empty() ? Html{} : table(t);
}

Html run_samples(const RunLog& run) {
  std::vector<fs::path> files;
  std::error_code none;
  for (fs::directory_iterator it(run.folder() / "samples", none), end; !none && it != end; it.increment(none))
    if (it->path().extension() == ".png") files.push_back(it->path());
  std::sort(files.begin(), files.end());
  std::vector<Html> parts;
  for (const fs::path& f : files)
    if (const auto image = find_picture(f)) parts.push_back(figure(picture(*image, f.filename().string(), image->width <= 400 ? 2 : 1), f.filename().string()));
  return columns(parts);
}

std::string run_report(const fs::path& folder) {
  const RunLog run(folder);
  const std::string objective = run.recipe("objective");
  Page page("sspo: a run of " + (objective.empty() ? std::string("training") : objective),
            "One training run, as its folder tells it: what was run, what was measured, and how it went. Everything here was computed by the program that wrote it; the page needs no other file and no network.");
  page.section("What was run", run_settings(run));
  page.section("Measured", run_measured(run));
  page.section("Curves", run_curves(run));
  page.section("The gate", gate_curves(run));
  page.section("References", run_references(run));
  page.section("One pair", pair_section(folder));
  page.section("Is the gate right?", gate_section(folder));
  page.section("Held out", run_held_out(run));
  page.section("Samples", run_samples(run));
  return page.html();
}

}  // namespace sspo::report
