#include "report/gate_section.hpp"

#include <cmath>

#include "report/chart.hpp"
#include "report/run_log.hpp"

namespace sspo::report {
namespace {

// A share as a number, or as {mean, low, high}.
struct Share {
  double value = NAN, low = NAN, high = NAN;
};
Share share_at(const io::Json& json, const char* name) {
  if (json.contains(name) && json[name].is_object()) return {number_at(json, {name, "mean"}), number_at(json, {name, "low"}), number_at(json, {name, "high"})};
  return {number_at(json, {name}), NAN, NAN};
}
std::string told(const Share& s) { return number(s.value, 3) + (std::isfinite(s.low) ? " " + interval(s.low, s.high, 3) : ""); }

Html agreement_chart(const io::Json& json) {
  if (!json.contains("agreement") || !json["agreement"].is_array()) return {};
  Series s{.name = "agreement", .x = {}, .y = {}, .dots = true};
  for (const io::Json& row : json["agreement"]) s.x.push_back(std::log2(number_at(row, {"n"}))), s.y.push_back(share_at(row, "share").value);
  return line_chart({.title = "agreement of one draw with many", .x_title = "log2 of the number of draws in the mean", .note = "share of pairs where the sign of one draw is that of the mean over n draws of time and noise; 0.5 is chance", .series = {s}, .level = 0.5});
}

}  // namespace

Html gate_section(const std::filesystem::path& run) {
  const auto json = find_json(run / "gate.json");
  if (!json || !json->is_object()) return {};
  Html html = paragraph("The theorem behind the gate speaks of the mean over all timesteps and noises, and of the winner. The algorithm takes one draw, and applies the verdict to another picture. Here both steps are put to the test.");
  html += columns({agreement_chart(*json)});
  const Share precision = share_at(*json, "precision"), recall = share_at(*json, "recall"), base = share_at(*json, "better");
  if (std::isfinite(precision.value))
    html += paragraph("Against the judge (is the self-sample better than a fresh sample of the policy for the same prompt, by style and caption?), over " + short_number(number_at(*json, {"n"})) + " draws: precision of s = \u22121 " +
                      told(precision) + ", recall " + told(recall) + (std::isfinite(base.value) ? "; the self-sample is the better one in " + told(base) + " of all" : "") + ".");
  if (std::isfinite(precision.value) && std::isfinite(precision.low) && std::isfinite(base.value))
    html += paragraph(base.value < precision.low ? "The interval of the precision lies above that share: s = \u22121 says something of the sample."
                      : base.value > precision.high ? "The interval of the precision lies below that share: s = \u22121 points the wrong way."
                                                    : "The interval of the precision holds that share: by this test s = \u22121 says nothing of the sample.");
  return html;
}

}  // namespace sspo::report
