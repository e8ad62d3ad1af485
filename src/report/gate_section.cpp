#include "report/gate_section.hpp"

#include <cmath>
#include <functional>
#include <tuple>

#include "report/chart.hpp"
#include "report/run_log.hpp"

namespace sspo::report {
namespace {

// {value, low, high}
struct Share {
  double value = NAN, low = NAN, high = NAN;
};
Share share_at(const io::Json& json, const char* name) { return {number_at(json, {name, "value"}), number_at(json, {name, "low"}), number_at(json, {name, "high"})}; }

const io::Json& array_at(const io::Json& json, const char* name) {
  static const io::Json none = io::Json::array();
  return json.is_object() && json.contains(name) && json[name].is_array() ? json[name] : none;
}

Html agreement_chart(const io::Json& json) {
  const io::Json& rows = array_at(json, "agreement");
  if (rows.empty()) return {};
  Series mean{.name = "share of draws", .colour = 1, .dots = true}, low{.name = "95 % interval", .colour = 0}, high = low;
  for (const io::Json& row : rows) {
    const double n = std::log2(number_at(row, {"n"}));
    mean.x.push_back(n), low.x.push_back(n), high.x.push_back(n);
    mean.y.push_back(number_at(row, {"share"})), low.y.push_back(number_at(row, {"low"})), high.y.push_back(number_at(row, {"high"}));
  }
  high.name = {};
  return line_chart({.title = "agreement of one draw with many", .x_title = "log2 of the number of draws", .note = "share of draws whose sign is that of the mean over n others; 0.5 is chance", .series = {mean, low, high}, .level = 0.5});
}

// The same in numbers, and phase by phase.
Html agreement_table(const io::Json& json) {
  const io::Json &all = array_at(json, "agreement"), &phases = array_at(json, "phases");
  Table t{.head = {"draws in the mean", "all"}};
  for (const io::Json& p : phases) t.head.push_back("phase " + number(number_at(p, {"phase"}), 0));
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto cell = [](const io::Json& row) { return Cell{number(number_at(row, {"share"}), 3), interval(number_at(row, {"low"}), number_at(row, {"high"}), 3)}; };
    std::vector<Cell> row = {{short_number(number_at(all[i], {"n"}))}, cell(all[i])};
    for (const io::Json& p : phases) {
      const io::Json& own = array_at(p, "agreement");
      row.push_back(i < own.size() ? cell(own[i]) : Cell{"\u2013"});
    }
    t.rows.push_back(row);
  }
  return t.rows.empty() ? Html{} : heading("Agreement of one draw with many") + table(t);
}

// {"plus", "zero", "minus"} of each row, one bar a row.
Html sign_bars(const io::Json& rows, ShareBars bars, const std::function<std::string(const io::Json&)>& label) {
  bars.parts = {{"s = +1", 1, {}}, {"s = 0", 0, {}}, {"s = \u22121", 3, {}}};
  for (const io::Json& row : rows) {
    bars.labels.push_back(label(row));
    bars.parts[0].shares.push_back(number_at(row, {"plus"})), bars.parts[1].shares.push_back(number_at(row, {"zero"})), bars.parts[2].shares.push_back(number_at(row, {"minus"}));
  }
  return share_bars(bars);
}

std::string timestep_label(const io::Json& row) { return number(number_at(row, {"from"}), 0); }

Html sign_table(const io::Json& json) {
  HeatTable t{.title = "share of s = \u22121 by phase and timestep", .x_title = "timesteps from", .note = "beneath each share its number of draws; orange above one half, blue below"};
  for (const io::Json& p : array_at(json, "phases")) t.rows.push_back("phase " + number(number_at(p, {"phase"}), 0));
  for (const io::Json& b : array_at(json, "bins")) t.columns.push_back(number(number_at(b, {"from"}), 0));
  const io::Json& cells = array_at(json, "cells");
  if (cells.size() != t.rows.size() * t.columns.size()) return {};
  for (const io::Json& c : cells)
    t.cells.push_back({number_at(c, {"minus"}), number_at(c, {"n"}), "phase " + number(number_at(c, {"phase"}), 0) + ", timesteps " + number(number_at(c, {"from"}), 0) + " to " + number(number_at(c, {"to"}) - 1, 0) + ": +1 " +
                       number(number_at(c, {"plus"}), 3) + ", 0 " + number(number_at(c, {"zero"}), 3) + ", \u22121 " + number(number_at(c, {"minus"}), 3) + " of " + short_number(number_at(c, {"n"}))});
  return heat_table(t);
}

// --- what a judge and scorers say

constexpr std::pair<const char*, const char*> parts[] = {{"better", "self-sample better"}, {"precision", "precision"}, {"recall", "recall"}, {"mean_precision", "precision, mean of draws"}, {"mean_recall", "recall, mean of draws"}};

std::string short_name(const std::string& full) { return full.substr(0, full.find(':')); }

Html verdict_table(const io::Json& verdicts) {
  Table t{.head = {"by"}};
  for (const auto& [name, title] : parts) t.head.push_back(title);
  for (const io::Json& v : verdicts) {
    std::vector<Cell> row = {{text_at(v, "name")}};
    for (const auto& [name, title] : parts) {
      const Share s = share_at(v, name);
      row.push_back({number(s.value, 3), std::isfinite(s.low) ? interval(s.low, s.high, 3) : ""});
    }
    t.rows.push_back(row);
  }
  return table(t);
}

Html verdict_plot(const io::Json& verdicts) {
  DotPlot plot{.title = "is s = \u22121 right?", .note = "precision of one draw beside how often the self-sample is the better one anyway: what a coin would reach"};
  for (const io::Json& v : verdicts)
    for (const auto& [name, title, colour] : {std::tuple{"better", "anyway", 0}, {"precision", "precision", 3}}) {
      const Share s = share_at(v, name);
      plot.dots.push_back({short_name(text_at(v, "name")) + ": " + title, s.value, s.low, s.high, colour});
    }
  return dot_plot(plot);
}

std::string reading_of(const io::Json& verdict) {
  const Share precision = share_at(verdict, "precision"), base = share_at(verdict, "better");
  const std::string by = "By " + short_name(text_at(verdict, "name", "?")) + ", ";
  if (!std::isfinite(precision.value) || !std::isfinite(base.value)) return by + "there is nothing to read: s = \u22121 was never drawn.";
  if (base.value == 0 || base.value == 1) return by + "there is nothing to read: the self-sample is " + (base.value == 0 ? "never" : "always") + " the better one.";
  return by + (base.value < precision.low    ? "the interval of the precision lies above that share: s = \u22121 says something of the sample."
               : base.value > precision.high ? "the interval of the precision lies below that share: s = \u22121 points the wrong way."
                                             : "the interval of the precision holds that share: by this test s = \u22121 says nothing of the sample.");
}

Html verdict_part(const io::Json& json) {
  const io::Json& verdicts = array_at(json, "verdicts");
  if (verdicts.empty()) return note("Neither a judge nor a scorer was asked: whether s = \u22121 is right about the second picture is not known.");
  Html html = heading("Is the second picture what s = \u22121 takes it for?") +
              paragraph("Asked of each pair: is the self-sample better than a fresh sample of the policy for the same prompt? A judge goes by style and caption, a scorer by its value with the caption as the prompt. Over " +
                        short_number(number_at(json, {"pairs"})) + " pairs and " + short_number(number_at(json, {"draws"})) + " draws of each, with intervals over pairs: the share of self-samples that are better, and how good s = \u22121 is as a forecast of it.");
  html += verdict_table(verdicts);
  for (const io::Json& v : verdicts) html += paragraph(reading_of(v));
  return html + columns({verdict_plot(verdicts)});
}

}  // namespace

Html gate_section(const std::filesystem::path& run) {
  const auto json = find_json(run / "gate.json");
  if (!json || !json->is_object()) return {};
  Html html = paragraph("The theorem behind the gate speaks of the mean over all timesteps and noises, and of the winner. The algorithm takes one draw, and applies the verdict to another picture. Here both steps are put to the test.");
  if (json->contains("finished") && (*json)["finished"] == false) html += note("The run was not finished when this was measured: later phases are missing.");
  html += columns({sign_table(*json),
                   sign_bars(array_at(*json, "bins"), {.title = "share of s by timestep", .x_title = "timesteps from", .note = "over all pairs of all phases"}, timestep_label),
                   sign_bars(array_at(*json, "phases"), {.title = "share of s by phase", .x_title = "phase: policy after it, against its reference", .note = "over all draws"},
                             [](const io::Json& row) { return number(number_at(row, {"phase"}), 0); }),
                   agreement_chart(*json)});
  return html + agreement_table(*json) + verdict_part(*json);
}

}  // namespace sspo::report
