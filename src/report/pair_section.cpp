#include "report/pair_section.hpp"

#include <cmath>

#include "report/picture.hpp"
#include "report/run_log.hpp"

namespace sspo::report {
namespace {

std::string error(double x) { return number(x, 4); }

}  // namespace

std::string gate_sentence(const PairRow& r, const std::string& gate, const std::string& second) {
  const std::string t = "t = " + number(r.t, 0) + ": ";
  const std::string errors = "on the winner the policy errs by " + error(r.a_tw) + ", the reference by " + error(r.a_rw);
  const std::string end = "; z = " + signed_number(r.z, 3) + ", loss " + number(r.loss, 3) + ".";
  const std::string down = "the step pulls the error on both down", apart = "the step pulls the error on the winner down and pushes that on the " + second + " up";
  if (gate.empty()) return t + errors + ". This objective has no gate: " + (r.s > 0 ? "the " + second + " is a loser whatever the errors are, and " + apart : "the " + second + " does not count") + end;
  if (gate == "none") return t + errors + ". The gate is off (s = +1): the " + second + " is a loser whatever the errors are, and " + apart + end;
  if (gate == "random") return t + errors + ". The gate drew its sign at random, s = " + signed_number(r.s, 0) + ": " + (r.s > 0 ? apart : r.s < 0 ? down : "the " + second + " does not count") + end;
  if (r.a_tw < r.a_rw) return t + errors + ": the policy is already better there, s = +1, the " + second + " counts as a loser, and " + apart + end;
  if (r.a_tw == r.a_rw)
    return t + errors + ": a tie, s = " + (r.s == 0 ? "0, and the " + second + " does not count" : signed_number(r.s, 0) + ", the " + second + " counts as a loser, and " + apart) + end;
  if (r.s == 0) return t + errors + ": the reference is better there, so this gate leaves the " + second + " out (s = 0)" + end;
  return t + errors + ": the reference is better there, s = \u22121, its " + second + " counts as a second winner, and " + down + end;
}

Html pair_section(const std::filesystem::path& run) {
  const auto json = find_json(run / "pair.json");
  if (!json || !json->contains("rows") || !(*json)["rows"].is_array()) return {};
  const std::string second = text_at(*json, "second", "self-sample"), gate = text_at(*json, "gate"), caption = text_at(*json, "caption");
  const auto shown = [&](const io::Json& from, const char* name, const std::string& alt) {
    const auto image = find_picture(run / text_at(from, name, "none"));
    return image ? picture(*image, alt, 3) : Html{};
  };
  Html html = paragraph("The pair of the caption \u201c" + caption + "\u201d in phase " + number(number_at(*json, {"phase"}), 0) + " of " + number(number_at(*json, {"phases"}), 0) + ": the policy is " +
                        text_at(*json, "policy") + ", the reference C[" + number(number_at(*json, {"reference"}), 0) + "], kappa " + short_number(number_at(*json, {"kappa"})) +
                        ". Both images are made noisy with one noise and one timestep; policy and reference each guess the noise, which gives back a denoised picture. The mean squared errors of the guesses are all that the algorithm sees.");
  const std::vector<Html> originals = {shown(*json, "picture_w", "the winner"), shown(*json, "picture_r", "the " + second)};
  html += picture_rows({.titles = {"the winner, x\u2080\u02b7", "the " + second + ", x\u2080\u02b3"}, .rows = {{originals}}});

  PictureRows pictures{.titles = {"winner, noisy", "denoised by policy", "by reference", second + ", noisy", "denoised by policy", "by reference"}, .rows = {}};
  Table numbers{.head = {"t", "a_tw", "a_rw", "a_tr", "a_rr", "d_w", "d_r", "s", "z", "loss"}, .rows = {}};
  for (const io::Json& r : (*json)["rows"]) {
    const auto value = [&](const char* name) { return number_at(r, {name}); };
    const PairRow row{value("t"), value("a_tw"), value("a_rw"), value("a_tr"), value("a_rr"), value("d_w"), value("d_r"), value("s"), value("z"), value("loss")};
    const std::string t = "t = " + number(row.t, 0);
    std::vector<Html> six;
    for (const char* name : {"noisy_w", "theta_w", "ref_w", "noisy_r", "theta_r", "ref_r"}) six.push_back(shown(r, name, std::string(name) + ", " + t));
    pictures.rows.push_back({six, gate_sentence(row, gate, second)});
    numbers.rows.push_back({{number(row.t, 0)}, {error(row.a_tw)}, {error(row.a_rw)}, {error(row.a_tr)}, {error(row.a_rr)}, {signed_number(row.d_w, 4)}, {signed_number(row.d_r, 4)}, {signed_number(row.s, 0)},
                            {signed_number(row.z, 3)}, {number(row.loss, 3)}});
  }
  return html + picture_rows(pictures) + table(numbers) +
         note("a: mean squared error, of theta (the policy, t) or ref (r), on the winner (w) or the " + second + " (r). d_w = a_tw \u2212 a_rw, d_r = a_tr \u2212 a_rr, z = \u2212kappa (d_w \u2212 s d_r), loss = log(1 + e^\u2212z).");
}

}  // namespace sspo::report
