// The curves of a run: those that its metrics.jsonl holds.
#include <algorithm>
#include <cmath>
#include <set>

#include "report/chart.hpp"
#include "report/run_page.hpp"

namespace sspo::report {
namespace {

struct Group {
  const char *title, *note;
  std::vector<std::pair<const char*, const char*>> columns;  // name in the metrics, name in the legend
  bool logarithmic = false;
  std::optional<double> level = {};
};

const std::vector<Group>& groups() {
  static const std::vector<Group> all = {
      {"loss", "", {{"loss", "loss"}}, true},
      {"d_w and d_r", "error of the policy minus that of the reference, on the winner and on the second image", {{"d_w", "d_w"}, {"d_r", "d_r"}}, false, 0},
      {"implicit accuracy", "share of pairs with z > 0", {{"accuracy", "accuracy"}}, false, 0.5},
      {"z", "how far the policy has moved the wanted way; 0 is where it equals the reference", {{"z", "z"}}, false, 0},
      {"the four errors", "theta is the policy, ref the reference; w the winner, r the second image", {{"a_tw", "theta on w"}, {"a_rw", "ref on w"}, {"a_tr", "theta on r"}, {"a_rr", "ref on r"}}},
      {"PSNR, dB", "of the batch, before the step", {{"psnr", "psnr"}}},
      {"reconstruction error", "of values in [-1, 1]", {{"l1", "absolute"}, {"mse", "squared"}}, true},
      {"KL divergence", "of the latents from a standard normal, an element", {{"kl", "kl"}}, true},
      {"gradient norm", "before clipping", {{"grad_norm", "norm"}}, true},
      {"learning rate", "", {{"lr", "lr"}}},
  };
  return all;
}

bool of_a_bin(const std::string& name) { return name.size() > 2 && name[0] == 't' && std::isdigit(static_cast<unsigned char>(name[1])) && name[2] == '_'; }

double weight_for(std::size_t steps) { return std::clamp(30.0 / double(std::max<std::size_t>(steps, 1)), 0.02, 0.3); }

Html chart_of(const RunLog& run, const Group& g) {
  LineChart c{.title = g.title, .note = g.note, .series = {}, .logarithmic = g.logarithmic, .average = weight_for(run.steps().size()), .level = g.level};
  if (std::string_view(g.title) == "learning rate") c.average = 0;
  for (const auto& [name, title] : g.columns)
    if (run.has(name)) c.series.push_back({.name = title, .x = run.steps(), .y = run.column(name)});
  return line_chart(c);
}

}  // namespace

Html run_curves(const RunLog& run) {
  if (run.steps().empty()) return {};
  std::vector<Html> charts;
  std::set<std::string> shown = {"phase", "skipped", "reference", "s_plus", "s_zero", "s_minus", "g"};  // told elsewhere
  for (const Group& g : groups()) {
    charts.push_back(chart_of(run, g));
    for (const auto& [name, title] : g.columns) shown.insert(name);
  }
  for (const std::string& name : run.names())  // of objectives that this file knows nothing of
    if (!shown.count(name) && !of_a_bin(name) && !name.starts_with("wall_")) charts.push_back(chart_of(run, {name.c_str(), "", {{name.c_str(), name.c_str()}}}));
  return note("Faint: every update. Strong: running average. Dashed: where policy and reference are equal, or chance.") + columns(charts);
}

std::vector<BinShares> shares_by_bin(const RunLog& run) {
  std::vector<BinShares> bins(10);
  for (int b = 0; b < 10; ++b) {
    const std::string t = "t" + std::to_string(b);
    const std::vector<double> n = run.column(t + "_n"), plus = run.column(t + "_s_plus"), minus = run.column(t + "_s_minus");
    BinShares& bin = bins[std::size_t(b)];
    for (std::size_t i = 0; i < n.size(); ++i)
      if (n[i] > 0) bin.n += n[i], bin.plus += n[i] * plus[i], bin.minus += n[i] * minus[i];
    if (bin.n > 0) bin.plus /= bin.n, bin.minus /= bin.n, bin.zero = std::max(0.0, 1 - bin.plus - bin.minus);
  }
  return bins;
}

Html gate_curves(const RunLog& run) {
  if (!run.has("s_plus") || run.recipe("objective") != "sspo") return {};
  LineChart c{.title = "share of s over the updates", .series = {}, .average = weight_for(run.steps().size())};
  for (const auto& [name, title, colour] : {std::tuple{"s_plus", "s = +1", 1}, {"s_zero", "s = 0", 0}, {"s_minus", "s = \u22121", 3}})
    if (run.has(name)) c.series.push_back({.name = title, .x = run.steps(), .y = run.column(name), .colour = colour});

  ShareBars bars{.title = "share of s by timestep", .x_title = "timesteps, in hundredths of the schedule: 10+ is 10 to 20", .note = "all updates of the run", .labels = {}, .parts = {{"s = +1", 1, {}}, {"s = 0", 0, {}}, {"s = \u22121", 3, {}}}};
  const std::vector<BinShares> bins = shares_by_bin(run);
  double samples = 0, plus = 0, minus = 0;
  for (std::size_t b = 0; b < bins.size(); ++b) {
    bars.labels.push_back(std::to_string(10 * b) + "+");
    const bool none = bins[b].n == 0;
    bars.parts[0].shares.push_back(none ? NAN : bins[b].plus), bars.parts[1].shares.push_back(none ? NAN : bins[b].zero), bars.parts[2].shares.push_back(none ? NAN : bins[b].minus);
    samples += bins[b].n, plus += bins[b].n * bins[b].plus, minus += bins[b].n * bins[b].minus;
  }
  if (samples == 0) return columns({line_chart(c)});
  return paragraph("The gate looks at the winner: s = +1 where the policy denoises it better than the reference does, and the self-sample counts as a loser; s = \u22121 where the reference is better, and its sample counts "
                   "as a second winner. Over " + short_number(samples) + " pairs: +1 in " + number(plus / samples, 3) + ", 0 in " + number(std::max(0.0, 1 - (plus + minus) / samples), 3) + ", \u22121 in " + number(minus / samples, 3) + ".") +
         columns({line_chart(c), share_bars(bars)});
}

}  // namespace sspo::report
