#include "report/gate_section.hpp"

#include <cmath>

#include "report/chart.hpp"
#include "report/run_log.hpp"

namespace sspo::report {
namespace {

// {value, low, high}
struct Share {
  double value = NAN, low = NAN, high = NAN;
};
Share share_at(const io::Json& json, const char* name) { return {number_at(json, {name, "value"}), number_at(json, {name, "low"}), number_at(json, {name, "high"})}; }
std::string told(const Share& s) { return number(s.value, 3) + (std::isfinite(s.low) ? " " + interval(s.low, s.high, 3) : ""); }

Html agreement_chart(const io::Json& json) {
  if (!json.contains("agreement") || !json["agreement"].is_array()) return {};
  Series mean{.name = "share of pairs", .colour = 1, .dots = true}, low{.name = "95 % interval", .colour = 0}, high = low;
  for (const io::Json& row : json["agreement"]) {
    const double n = std::log2(number_at(row, {"n"}));
    mean.x.push_back(n), low.x.push_back(n), high.x.push_back(n);
    mean.y.push_back(number_at(row, {"share"})), low.y.push_back(number_at(row, {"low"})), high.y.push_back(number_at(row, {"high"}));
  }
  high.name = {};
  return line_chart({.title = "agreement of one draw with many", .x_title = "log2 of the number of draws", .note = "share of pairs where the sign of one draw is that of the mean over n others; 0.5 is chance", .series = {mean, low, high}, .level = 0.5});
}

Html phase_bars(const io::Json& json) {
  if (!json.contains("phases") || !json["phases"].is_array()) return {};
  ShareBars bars{.title = "share of s by phase", .x_title = "phase: policy after it, against its reference", .note = "over all draws", .parts = {{"s = +1", 1, {}}, {"s = 0", 0, {}}, {"s = \u22121", 3, {}}}};
  for (const io::Json& p : json["phases"]) {
    bars.labels.push_back(number(number_at(p, {"phase"}), 0));
    bars.parts[0].shares.push_back(number_at(p, {"plus"})), bars.parts[1].shares.push_back(number_at(p, {"zero"})), bars.parts[2].shares.push_back(number_at(p, {"minus"}));
  }
  return share_bars(bars);
}

}  // namespace

Html gate_section(const std::filesystem::path& run) {
  const auto json = find_json(run / "gate.json");
  if (!json || !json->is_object()) return {};
  Html html = paragraph("The theorem behind the gate speaks of the mean over all timesteps and noises, and of the winner. The algorithm takes one draw, and applies the verdict to another picture. Here both steps are put to the test.");
  html += columns({agreement_chart(*json), phase_bars(*json)});
  const Share precision = share_at(*json, "precision"), recall = share_at(*json, "recall"), base = share_at(*json, "better");
  if (!std::isfinite(precision.value)) return html;
  html += paragraph("Against the judge (is the self-sample better than a fresh sample of the policy for the same prompt, by style and caption?), over " + short_number(number_at(*json, {"pairs"})) + " pairs and " +
                    short_number(number_at(*json, {"draws"})) + " draws of each: precision of s = \u22121 " + told(precision) + ", recall " + told(recall) + "; the self-sample is the better one in " + told(base) + " of all pairs.");
  if (std::isfinite(precision.low) && std::isfinite(base.value))
    html += paragraph(base.value < precision.low ? "The interval of the precision lies above that share: s = \u22121 says something of the sample."
                      : base.value > precision.high ? "The interval of the precision lies below that share: s = \u22121 points the wrong way."
                                                    : "The interval of the precision holds that share: by this test s = \u22121 says nothing of the sample.");
  return html;
}

}  // namespace sspo::report
