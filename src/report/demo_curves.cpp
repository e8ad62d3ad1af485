// Curves that compare the demo's methods: how training went, and the reward against updates.
#include <cmath>
#include <map>

#include "report/chart.hpp"
#include "report/demo_folder.hpp"
#include "report/run_page.hpp"

namespace sspo::report {
namespace {

struct Shown {
  const char *column, *title, *note;
  std::optional<double> level;
};
const std::vector<Shown> shown = {
    {"a_tw", "error on the winners", "of the policy, in the step's own batch", {}},
    {"d_w", "d_w", "error of the policy minus that of the reference, on the winner", 0},
    {"d_r", "d_r", "the same on the second image", 0},
    {"accuracy", "implicit accuracy", "share of pairs with z > 0", 0.5},
    {"grad_norm", "gradient norm", "before clipping", {}},
};

}  // namespace

Html comparison_curves(const DemoFolder& demo, const std::string& setting) {
  std::vector<Html> charts;
  std::map<std::string, RunLog> logs;
  for (const std::string& method : demo.methods(setting)) logs.emplace(method, RunLog(demo.of(setting, method).front()->run));
  for (const Shown& s : shown) {
    LineChart c{.title = s.title, .note = s.note, .series = {}, .logarithmic = std::string_view(s.column) == "grad_norm", .average = 0.1, .level = s.level};
    for (const std::string& method : demo.methods(setting))
      if (const RunLog& run = logs.at(method); run.has(s.column)) c.series.push_back({.name = method_title(method), .x = run.steps(), .y = run.column(s.column), .colour = method_colour(method)});
    charts.push_back(line_chart(c));
  }
  Html html = columns(charts);
  if (logs.count("sspo")) html += gate_curves(logs.at("sspo"));

  Table t{.head = {"method, seed", "reference of phase 1, 2, ..."}, .rows = {}, .words = true};
  for (const std::string& method : demo.methods(setting))
    for (const Trained* m : demo.of(setting, method)) {
      const RunLog run(m->run);
      if (!run.has("reference") || run.recipe("preference.reference") == "initial") continue;
      std::string drawn;
      double before = NAN;
      const std::vector<double> phase = run.column("phase"), reference = run.column("reference");
      for (std::size_t i = 0; i < phase.size(); ++i)
        if (phase[i] != before) drawn += (drawn.empty() ? "" : ", ") + number(reference[i], 0), before = phase[i];
      t.rows.push_back({{method_title(method) + ", " + std::to_string(m->seed)}, {drawn}});
    }
  if (!t.rows.empty()) html += folded("Which checkpoint was the reference", table(t));
  return html.empty() ? html : note("The first seed of each method. Faint: every update. Strong: running average. SFT has no reference, so no differences.") + html;
}

Html reward_section(const DemoFolder& demo) {
  Html html;
  for (const std::string& setting : demo.settings()) {
    std::vector<Html> charts;
    for (const Measure& m : measures()) {
      LineChart c{.title = m.title, .note = m.what};
      for (const std::string& method : demo.methods(setting)) {
        const Trained& t = *demo.of(setting, method).front();
        if (t.along.empty() || !demo.base.there() || !t.scores.there()) continue;
        const std::string split = splits_of({&t.scores}).front();
        Series s{.name = method_title(method), .x = {0}, .y = {mean_of(demo.base, m, split)}, .colour = method_colour(method), .dots = true};
        for (const auto& [updates, scores] : t.along) s.x.push_back(updates), s.y.push_back(mean_of(scores, m, split));
        s.x.push_back(RunLog(t.run).steps().empty() ? NAN : RunLog(t.run).steps().back()), s.y.push_back(mean_of(t.scores, m, split));
        c.series.push_back(std::move(s));
      }
      charts.push_back(line_chart(c));
    }
    if (const Html all = columns(charts); !all.empty()) html += heading(setting_title(setting)) + all;
  }
  return html.empty() ? html : note("The first seed of each method, evaluated along its run, from the base model (0) to the end. One seed: the curves hold no spread between seeds.") + html;
}

}  // namespace sspo::report
