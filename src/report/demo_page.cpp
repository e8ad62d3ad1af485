// The demo's report, put together.
#include <algorithm>
#include <cmath>

#include "report/demo_folder.hpp"
#include "report/gate_section.hpp"
#include "report/pair_section.hpp"
#include "report/run_page.hpp"

namespace sspo::report {
namespace {

std::string json_text(const io::Json& v) {
  if (v.is_string()) return v.get<std::string>();
  if (v.is_number_float()) return short_number(v.get<double>());
  if (!v.is_array()) return v.dump();
  std::string all;
  for (const io::Json& x : v) all += (all.empty() ? "" : ", ") + json_text(x);
  return all;
}

Html what_was_done(const DemoFolder& demo) {
  Table t{.words = true};
  for (const char* name : {"version", "date", "pictures", "machine", "device", "threads"})
    if (demo.json.contains(name)) t.rows.push_back({{name}, {json_text(demo.json[name])}});
  if (demo.json.contains("options") && demo.json["options"].is_object())
    for (const auto& [name, value] : demo.json["options"].items()) t.rows.push_back({{"option " + name}, {json_text(value)}});
  Html html = paragraph("An autoencoder, a judge and a base model were trained from nothing on pictures in two styles with their names. Then the base model was aligned with one of the styles, the preferred one, by each method and seed of the "
                        "table, and every model drew the same prompts from the same noise. The judge only measures: no method sees it.");
  return html + (t.rows.empty() ? Html{} : table(t));
}

// scores/autoencoder.json
Html reconstruction(const DemoFolder& demo) {
  const auto json = find_json(demo.folder / "scores/autoencoder.json");
  if (!json || !json->is_object()) return {};
  Table t{.head = {"PSNR, dB", "pictures", "all", "red", "green", "blue"}};
  for (const auto& [split, v] : json->items())
    t.rows.push_back({{split}, {number(number_at(v, {"n"}), 0)}, {number(number_at(v, {"psnr"}), 1)}, {number(number_at(v, {"red"}), 1)}, {number(number_at(v, {"green"}), 1)}, {number(number_at(v, {"blue"}), 1)}});
  return table(t);
}

Html part_of(const DemoFolder& demo, const char* name, const Html& more = {}) {
  const RunLog run(demo.folder / name);
  if (run.steps().empty()) return {};
  const Html samples = run_samples(run);
  return more + run_measured(run) + run_held_out(run) + (samples.empty() ? Html{} : folded("Samples", samples)) + folded("Curves", run_curves(run)) + folded("Recipe", run_settings(run));
}

// Of the first run that has it, SSPO's if there is one.
Html of_runs(const DemoFolder& demo, Html (*section)(const std::filesystem::path&)) {
  for (const bool sspo : {true, false})
    for (const Trained& t : demo.trained)
      if ((t.method == "sspo") == sspo)
        if (const Html html = section(t.run); !html.empty()) return note("Of the run " + t.run.filename().string() + ".") + html;
  return {};
}

Html what_it_does_not_show() {
  return paragraph("The models are small and were trained for minutes on small pictures of a few hundred names; the base model has itself seen the preferred style. Nothing here says how the methods compare on photographs, at "
                   "Stable Diffusion's size, or under people's own preferences. Style and caption are the opinion of a small judge trained on the same pictures, with the accuracy told above; near is exact on real pictures, but is a "
                   "distance of pixels. Each method has a learning rate and a kappa of its own, found by a few trials, not a search; which seeds a method got is part of what it did here. The order of the methods is what this run found, and intervals over prompts do not hold the "
                   "spread between runs.");
}

std::string command_of(const DemoFolder& demo) {
  std::string command = "sspo demo --out FOLDER";
  if (demo.json.contains("options") && demo.json["options"].is_object())
    for (const auto& [name, value] : demo.json["options"].items()) command += " --" + name + " " + json_text(value);
  return command;
}

Html how_to_repeat(const DemoFolder& demo) {
  const std::string command = command_of(demo);
  return preformatted(command + "\nsspo report FOLDER") + note("Pictures and numbers, times apart, are a function of the seeds and the instruction set; the number of threads does not change them. Each run's folder holds its recipe.toml: sspo train repeats it alone.");
}

}  // namespace

Html time_section(const DemoFolder& demo) {
  Html html;
  if (demo.json.contains("stages") && demo.json["stages"].is_array()) {
    Table t{.head = {"stage", "time", "peak memory in tensors"}, .rows = {}};
    double sum = 0;
    for (const io::Json& s : demo.json["stages"]) {
      const double time = number_at(s, {"seconds"}), peak = number_at(s, {"peak_bytes"});
      sum += std::isfinite(time) ? time : 0;
      t.rows.push_back({{text_at(s, "name")}, {std::isfinite(time) ? seconds(time) : "\u2013"}, {std::isfinite(peak) ? bytes(peak) : "\u2013"}});
    }
    t.rows.push_back({{"all"}, {seconds(sum)}, {}});
    html += paragraph("All stages together took " + seconds(sum) + ".") + folded("Each stage", table(t));
  }
  Table split{.head = {"method", "runs", "self-sampling", "training", "judging"}, .rows = {}};
  for (const std::string& setting : demo.settings())
    for (const std::string& method : demo.methods(setting)) {
      double sampling = 0, training = 0, judging = 0;
      std::size_t runs = 0;
      for (const Trained* t : demo.of(setting, method)) {
        const RunLog run(t->run);
        if (run.steps().empty()) continue;
        ++runs, sampling += run.total("wall_phase_ms") / 1e3, training += run.total("wall_ms") / 1e3;
        const double judge = number_at(t->scores.summary, {"seconds"});
        judging += std::isfinite(judge) ? judge : 0;
      }
      if (runs) split.rows.push_back({{method_title(method) + ", " + setting_title(setting)}, {std::to_string(runs)}, {seconds(sampling)}, {seconds(training)}, {seconds(judging)}});
    }
  if (!split.rows.empty()) html += heading("Where the time of alignment went, all seeds together") + table(split);
  return html;
}

std::string demo_report(const std::filesystem::path& folder) {
  const DemoFolder demo(folder);
  Page page("sspo demo: preference training, from nothing",
            "A small latent diffusion model learns to draw " + std::string(text_at(demo.json, "pictures") == "emoji" ? "emoji from their names" : "pictures from their captions") + ", and is then taught to prefer one of two styles by SSPO and its rivals; all of it was computed on this machine by one C++ program. "
            "This page says what came out, whichever way it went, with the pictures, the curves and the numbers behind it.");
  std::vector<std::string> missing;
  const auto section = [&](const std::string& title, const Html& html) {
    if (html.empty()) missing.push_back(title);
    page.section(title, html);
  };
  section("What was done", what_was_done(demo));
  const std::vector<std::string> settings = demo.settings();
  if (settings.empty()) missing.push_back("Results");
  for (const std::string& s : settings) section("Results: " + setting_title(s), results_section(demo, s));
  for (const std::string& s : settings) section("Pictures: " + setting_title(s), pictures_section(demo, s));
  section("Reward against updates", reward_section(demo));
  for (const std::string& s : settings) section("Curves: " + setting_title(s), comparison_curves(demo, s));
  section("One pair, and what the gate did", of_runs(demo, pair_section));
  section("Is the gate right?", of_runs(demo, gate_section));
  section("The autoencoder", part_of(demo, "vae", reconstruction(demo)));
  section("The judge", part_of(demo, "judge"));
  section("The base model", part_of(demo, "base"));
  section("Time and memory", time_section(demo));
  std::string list;
  for (const std::string& m : missing) list += (list.empty() ? "" : "; ") + m;
  page.section("What it does not show", what_it_does_not_show() + (list.empty() ? Html{} : note("Not in this folder, and so not on this page: " + list + ".")));
  page.section("How to repeat it", how_to_repeat(demo));
  return page.html();
}

}  // namespace sspo::report
