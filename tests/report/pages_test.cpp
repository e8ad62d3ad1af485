// Whole pages, out of folders that are complete, in part, or broken.
#include <cmath>
#include <filesystem>

#include "report/demo_folder.hpp"
#include "report/gate_section.hpp"
#include "report/pair_section.hpp"
#include "report/run_page.hpp"
#include "sspo/io/image.hpp"
#include "report/page_text.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::report;
namespace fs = std::filesystem;

namespace {

const std::string hostile = "cat <script>alert('&')</script>";

void check_clean(const std::string& html) {
  CHECK(!holds(html, "<script"));
  CHECK(!holds(html, "http"));
  CHECK(!holds(html, "url("));
  CHECK(!holds(html, "nan"));
  for (const char* tag : {"section", "figure", "table", "svg", "div", "details"}) {  // as many ends as beginnings
    std::size_t open = 0, close = 0;
    const std::string begin = "<" + std::string(tag), end = "</" + std::string(tag) + ">";
    for (std::size_t at = 0; (at = html.find(begin, at)) != std::string::npos; at += begin.size()) open += html[at + begin.size()] == ' ' || html[at + begin.size()] == '>';
    for (std::size_t at = 0; (at = html.find(end, at)) != std::string::npos; at += end.size()) ++close;
    INFO(std::string(tag));
    CHECK(open == close);
  }
}

struct Folder {
  fs::path path;
  explicit Folder(const char* name) : path(fs::path(name)) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
  void write(const fs::path& name, const std::string& text) const {
    fs::create_directories((path / name).parent_path());
    io::write_file((path / name).string(), text);
  }
  void picture(const fs::path& name, Index side = 8) const {
    fs::create_directories((path / name).parent_path());
    io::write_png((path / name).string(), io::make_image(side, side, 90));
  }
};

void write_run(const Folder& f, const fs::path& at, const std::string& objective, int steps = 30) {
  f.write(at / "recipe.toml", "objective = \"" + objective + "\"\nseed = 7\npreference.phases = 3\npreference.updates = 10\npreference.kappa = 100\npreference.beta = 2000\n");
  std::string lines;
  for (int i = 1; i <= steps; ++i) {
    const double d = 0.001 * i;
    io::Json line = {{"step", i}, {"phase", 1 + (i - 1) / 10}, {"loss", 0.7 - d}, {"grad_norm", 1 + d}, {"lr", 1e-4}, {"skipped", 0}};
    if (objective == "judge") line["style_accuracy"] = 0.5 + d;
    if (objective == "sspo" || objective == "spin") line.update({{"d_w", -d}, {"d_r", d}, {"z", d}, {"accuracy", 0.6}, {"reference", (i - 1) / 10 % 2}, {"s_plus", 0.6}, {"s_zero", 0}, {"s_minus", 0.4}, {"t0_n", 4}, {"t0_s_plus", 0.25}, {"t0_s_minus", 0.75}});
    line.update({{"wall_ms", 20}, {"wall_peak_bytes", 50'000'000}});
    if (i % 10 == 1) line["wall_phase_ms"] = 500;
    lines += line.dump() + "\n";
  }
  f.write(at / "metrics.jsonl", lines + "{\"step\": 31, \"lo");  // torn
}

void write_pair(const Folder& f, const fs::path& at) {
  io::Json row = {{"t", 300}, {"a_tw", 0.08}, {"a_rw", 0.07}, {"a_tr", 0.1}, {"a_rr", 0.1}, {"d_w", 0.01}, {"d_r", 0}, {"s", -1}, {"z", -1}, {"loss", 1.3}};
  for (const char* name : {"noisy_w", "theta_w", "ref_w", "noisy_r", "theta_r", "ref_r"}) row[name] = "pair/a.png";
  f.write(at / "pair.json", io::Json{{"gate", "sign"}, {"caption", hostile}, {"phase", 3}, {"phases", 3}, {"reference", 1}, {"policy", "C[3]"}, {"kappa", 100}, {"second", "self-sample"}, {"picture_w", "pair/a.png"}, {"picture_r", "pair/missing.png"}, {"rows", io::Json::array({row})}}.dump());
  f.picture(at / "pair/a.png");
}

// Two phases of 24 pairs; the second has no draw in the last tenth. The judge's precision holds its base rate, that of the scorer lies above.
void write_gate(const Folder& f, const fs::path& at) {
  const auto share = [](double value, double low, double high) { return io::Json{{"value", value}, {"low", low}, {"high", high}}; };
  const io::Json agreement = {{{"n", 1}, {"share", 0.7}, {"low", 0.6}, {"high", 0.8}}, {{"n", 32}, {"share", 0.6125}, {"low", 0.5}, {"high", 0.7}}};
  io::Json phases = io::Json::array(), bins = io::Json::array(), cells = io::Json::array();
  for (int k = 1; k <= 2; ++k) {
    phases.push_back({{"phase", k}, {"plus", 0.5}, {"zero", 0}, {"minus", 0.5}, {"agreement", agreement}});
    for (int b = 0; b < 10; ++b) {
      io::Json cell = {{"phase", k}, {"from", 100 * b}, {"to", 100 * b + 100}, {"n", 150 + b}, {"plus", 0.9 - 0.08 * b}, {"zero", 0}, {"minus", 0.1 + 0.08 * b}};
      if (k == 2 && b == 9) cell.update({{"n", 0}, {"plus", nullptr}, {"zero", nullptr}, {"minus", nullptr}});
      cells.push_back(cell);
      if (k == 1) bins.push_back({{"from", 100 * b}, {"to", 100 * b + 100}, {"n", 300}, {"plus", 0.5}, {"zero", 0}, {"minus", 0.5}});
    }
  }
  io::Json judge = {{"name", "judge:" + hostile + ":0123456789"}, {"better", share(0.49, 0.4, 0.6)}, {"precision", share(0.47, 0.42, 0.52)}, {"recall", share(0.49, 0.4, 0.6)}, {"mean_precision", share(0.5, 0.4, 0.6)}, {"mean_recall", share(0.5, 0.4, 0.6)}};
  io::Json pick = judge, silent = judge;
  pick["name"] = "pickscore:v1:abcdef0123", pick["precision"] = share(0.77, 0.72, 0.82);
  silent["name"] = "clipscore:v1:abcdef0123", silent["precision"] = {{"value", nullptr}, {"low", nullptr}, {"high", nullptr}};
  io::Json never = judge;
  never["name"] = "imagereward:v1.0:abcdef0123", never["better"] = share(0, 0, 0);
  f.write(at / "gate.json", io::Json{{"finished", false}, {"pairs", 48}, {"draws", 64}, {"phases", phases}, {"bins", bins}, {"cells", cells}, {"agreement", agreement}, {"verdicts", {judge, pick, silent, never}}}.dump());
}

// 25 names, near in so many of them, and 15 that are held out.
void write_scores(const Folder& f, const std::string& name, double near) {
  std::string lines;
  io::Json sheet = io::Json::array();
  constexpr int train = 25, held_out = 15, names = train + held_out;
  for (int i = 0; i < names; ++i) {
    const bool held = i >= train;
    sheet.push_back(i ? "name " + std::to_string(i) : hostile);
    lines += io::Json{{"name", i ? "name " + std::to_string(i) : hostile}, {"split", held ? "held-out" : "train"}, {"n", 0}, {"seed", 1}, {"near_pixels", (i * 7 % train) < train * (held ? 0.5 : near) ? 1 : 0},
                      {"near_features", 1}, {"style", 0.5}, {"caption", 0.4}, {"rank", 1 + i % 3}}.dump() + "\n";
  }
  f.write("scores/" + name + "/scores.jsonl", lines);
  f.write("scores/" + name + "/summary.json", io::Json{{"frechet", 26.5}, {"seconds", 4.0}, {"pictures", {{"columns", 12}, {"gap", 2}, {"side", 8}, {"names", sheet}}}}.dump());
  io::write_png((f.path / "scores" / name / "pictures.png").string(), io::grid(std::vector<io::Image>(std::size_t(names), io::make_image(8, 8, 120)), 12, 2));
}

}  // namespace

TEST_CASE("run report: each part that the folder holds, and none that it does not") {
  const Folder f("report-run");
  write_run(f, "", "sspo");
  write_pair(f, "");
  write_gate(f, "");
  f.write("held_out.json", io::Json{{"style accuracy", 0.76}, {"retrieval", {{"R@1", 0.14}}}}.dump());
  f.picture("samples/step-10.png");
  const std::string html = run_report(f.path);
  check_clean(html);
  for (const char* title : {"What was run", "Measured", "Curves", "The gate", "References", "One pair", "Is the gate right?", "Held out", "Samples"}) CHECK_MESSAGE(holds(html, std::string(title) + "</h2>"), title);
  CHECK(holds(html, "cat &lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;"));
  CHECK(holds(html, "d_w and d_r"));
  CHECK(holds(html, "implicit accuracy"));
  CHECK(holds(html, "0.60 s, median 20 ms a step"));      // 30 steps of 20 ms
  CHECK(holds(html, "1.5 s"));                           // three phases of 500 ms
  CHECK(holds(html, "Over 120 pairs: +1 in 0.250, 0 in 0.000, \u22121 in 0.750"));
  CHECK(holds(html, "its self-sample counts as a second winner"));
  CHECK(holds(html, "By judge, the interval of the precision holds that share: by this test s = \u22121 says nothing of the sample."));  // 0.49 lies in [0.42, 0.52]
  CHECK(holds(html, "By pickscore, the interval of the precision lies above that share"));
  CHECK(holds(html, "By clipscore, there is nothing to read: s = \u22121 was never drawn."));
  CHECK(holds(html, "By imagereward, there is nothing to read: the self-sample is never the better one."));
  CHECK(holds(html, "judge:cat &lt;script&gt;"));
  CHECK(holds(html, "pickscore:v1:abcdef0123"));
  CHECK(holds(html, "<title>phase 2, timesteps 300 to 399: +1 0.660, 0 0.000, \u22121 0.340 of 153</title>"));
  CHECK(!holds(html, "phase 2, timesteps 900"));         // no draw, no cell
  CHECK(holds(html, "phase 1, timesteps 900"));
  CHECK(holds(html, "0.613<small>[0.500, 0.700]"));
  CHECK(holds(html, "The run was not finished"));
  CHECK(!holds(html, "beta = beta / 2"));                // kappa was given

  fs::remove(f.path / "pair.json"), fs::remove(f.path / "gate.json"), fs::remove(f.path / "held_out.json"), fs::remove_all(f.path / "samples");
  const std::string less = run_report(f.path);
  check_clean(less);
  for (const char* title : {"One pair", "Is the gate right?", "Held out", "Samples"}) CHECK_MESSAGE(!holds(less, std::string(title) + "</h2>"), title);
}

TEST_CASE("run report: other objectives, and folders with next to nothing") {
  const Folder f("report-run");
  write_run(f, "judge", "judge");
  const std::string judge = run_report(f.path / "judge");
  check_clean(judge);
  CHECK(holds(judge, "style_accuracy"));  // a metric that no chart was made for
  CHECK(!holds(judge, "The gate</h2>"));
  write_run(f, "one", "sspo", 1);
  check_clean(run_report(f.path / "one"));
  write_run(f, "spin", "spin");
  CHECK(!holds(run_report(f.path / "spin"), "The gate</h2>"));
  fs::create_directories(f.path / "empty");
  const std::string empty = run_report(f.path / "empty");
  check_clean(empty);
  CHECK(holds(empty, "nothing was measured"));
  f.write("broken/metrics.jsonl", "{\"step\": 1, \"loss\": null}\nnonsense\n[1]\n{\"step\": 3, \"loss\": 0.5}\n");
  f.write("broken/pair.json", "{\"rows\": [{}]}");
  f.write("broken/gate.json", "[]");
  f.write("partial/gate.json", R"({"phases": [1, {"phase": 2, "agreement": 3}], "bins": {}, "cells": [{}], "agreement": [null, {"n": 1}], "verdicts": [{}, 2]})");
  check_clean(run_report(f.path / "partial"));
  f.write("unjudged/gate.json", R"({"agreement": [{"n": 1, "share": 0.7, "low": 0.6, "high": 0.8}]})");
  const std::string unjudged = run_report(f.path / "unjudged");
  check_clean(unjudged);
  CHECK(holds(unjudged, "Neither a judge nor a scorer was asked"));
  const RunLog log(f.path / "broken");
  CHECK(log.steps() == std::vector<double>{1, 3});
  CHECK(std::isnan(log.column("loss")[0]));
  CHECK(log.last("loss") == 0.5);
  check_clean(run_report(f.path / "broken"));
}

TEST_CASE("demo report: complete") {
  const Folder f("report-demo");
  io::Json stages = io::Json::array({io::Json{{"name", "base"}, {"seconds", 200.0}, {"peak_bytes", 1e9}, {"done", true}}});
  for (const char* method : {"sft", "dpo", "spin", "sspo"})
    for (int seed = 1; seed <= 3; ++seed) {
      const std::string name = "few-" + std::string(method) + "-" + std::to_string(seed);
      stages.push_back({{"name", "runs/" + name}, {"seconds", 10.0}, {"peak_bytes", 1e8}, {"done", true}});
      write_run(f, "runs/" + name, method);
      write_scores(f, name, std::string(method) == "sft" ? 0.9 : 0.3);
    }
  write_scores(f, "base", 0.3), write_scores(f, "real-preferred", 1), write_scores(f, "few-sspo-1-phase-2", 0.6);
  write_pair(f, "runs/few-sspo-1");
  for (const char* part : {"vae", "judge", "base"}) write_run(f, part, part == std::string("judge") ? "judge" : "pretrain");
  f.write("scores/autoencoder.json", R"({"train": {"n": 100, "psnr": 22.9, "red": 23, "green": 23, "blue": 22}, "held-out": {"n": 10, "psnr": 22.5, "red": 22, "green": 22, "blue": 21}})");
  f.write("demo.json", io::Json{{"format", 1}, {"machine", hostile}, {"options", {{"size", "full"}, {"seeds", 3}}}, {"pictures", "emoji"}, {"stages", stages}}.dump());

  const DemoFolder demo(f.path);
  CHECK(demo.settings() == std::vector<std::string>{"few"});
  CHECK(demo.methods("few") == std::vector<std::string>{"sft", "dpo", "spin", "sspo"});
  CHECK(demo.of("few", "sspo").size() == 3);
  CHECK(demo.of("few", "sspo")[0]->kappa == 100);
  REQUIRE(demo.of("few", "sspo")[0]->along.size() == 1);
  CHECK(demo.of("few", "sspo")[0]->along[0].first == 20);  // two phases of ten updates

  const std::string html = demo_report(f.path);
  check_clean(html);
  for (const char* title : {"What was done", "Results: Few winners", "Pictures: Few winners", "Reward against updates", "Curves: Few winners", "One pair, and what the gate did", "The autoencoder", "The judge", "The base model", "Time and memory", "What it does not show", "How to repeat it"})
    CHECK_MESSAGE(holds(html, std::string(title) + "</h2>"), title);
  CHECK(holds(html, "Not in this folder, and so not on this page: Is the gate right?."));
  CHECK(holds(html, "On training names: 25 prompts"));
  CHECK(holds(html, "On held-out names: 15 prompts"));
  CHECK(holds(html, "SFT against base: near higher by 0."));   // planted: 0.9 against 0.3
  CHECK(holds(html, "SSPO against base: cannot be told apart by near (0.000 [0.000, 0.000])"));
  CHECK(holds(html, "SSPO against SFT: near lower by 0."));
  CHECK(holds(html, "real pictures, preferred style"));
  CHECK(holds(html, "26.5"));
  CHECK(holds(html, "sspo demo --out FOLDER --size full --seeds 3"));
  CHECK(holds(html, "name 6, SSPO"));                           // a tile of its sheet

  // Without its scores and runs a demo has no results, and says so.
  fs::remove_all(f.path / "scores"), fs::remove_all(f.path / "vae");
  const std::string less = demo_report(f.path);
  check_clean(less);
  CHECK(!holds(less, "SFT against base"));
  CHECK(holds(less, "on this page: Results: Few winners; Pictures: Few winners; Reward against updates; Is the gate right?; The autoencoder."));
  fs::remove_all(f.path / "runs");
  CHECK(holds(demo_report(f.path), "on this page: Results; "));
  f.write("demo.json", "{}");
  check_clean(demo_report(f.path));
}
