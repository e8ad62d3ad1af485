#include "cli/score.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>

#include "cli/device.hpp"
#include "cli/eval_pictures.hpp"
#include "cli/eval_recipe.hpp"
#include "cli/files.hpp"
#include "cli/named_scorers.hpp"
#include "cli/plan.hpp"
#include "cli/progress.hpp"
#include "cli/signals.hpp"
#include "sspo/eval/scoring.hpp"
#include "sspo/train/run_folder.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void usage(std::string what, std::string expected, std::string got = {}) {
  fail({.op = "eval", .what = std::move(what), .expected = std::move(expected), .got = std::move(got)}, Site{});
}

// Those that are asked for, with their weights: what is missing is said before anything is drawn.
std::vector<NamedScorer> scorers_of(const ScoreOptions& o) {
  if (o.scorers.empty()) usage("nothing to score with", "--scorers NAME,NAME");
  return named_scorers(o.scorers, o.weights, {.device = device_of(o.draw.device), .dtype = dtype_of(o.draw.device)}, "eval");
}

// Those of an earlier call here, whose rows are complete: they stay beside the ones that are asked for now.
void add_finished(std::vector<NamedScorer>& scorers, const std::string& folder, const std::vector<PromptPicture>& pictures) {
  const io::Json json = io::read_json(folder + "/eval.json");
  const auto known = [&](const std::string& name) { return std::any_of(scorers.begin(), scorers.end(), [&](const NamedScorer& s) { return s.name == name; }); };
  if (!json.contains("scorers") || !json["scorers"].is_object()) return;
  for (const auto& [name, full] : json["scorers"].items()) {
    const NamedScorer earlier{name, 0, {}};
    if (!known(name) && finished_scores(folder, pictures, {&earlier, 1}).pictures.size() == pictures.size()) scorers.push_back(earlier);
  }
}

io::Json prompts_json(const ScoreOptions& o, const PromptSet& set) {
  return {{"form", name_of(set.form)}, {"n", set.prompts.size()}, {"digest", set.digest}, {"limit", o.limit}};
}

// The full names under which these scorers' rows stand, beside what eval.json says of earlier ones.
void keep_scorers(const std::string& path, const ScoreTable& table) {
  io::Json json = io::read_json(path);
  for (const std::string& full : table.scorers)
    if (!full.empty()) json["scorers"][full.substr(0, full.find(':'))] = full;
  io::write_file(path, json.dump(2) + "\n");
}

io::Json estimate_json(const ScoreSummary& s) {
  const Estimate& e = s.estimate;
  return {{"n", e.n}, {"pictures", s.pictures}, {"seeds", s.seeds}, {"mean", e.mean}, {"sd", e.deviation}, {"low", e.low}, {"high", e.high}, {"median", s.median}, {"seed_sd", s.seed_deviation}};
}

io::Json summary_of(const ScoreTable& t) {
  io::Json bad = io::Json::array(), scorers = io::Json::object();
  std::set<Index> prompts;
  for (std::size_t i = 0; i < t.pictures.size(); ++i) {
    prompts.insert(t.pictures[i].prompt);
    if (!t.bad[i].empty()) bad.push_back(t.pictures[i].picture);
  }
  for (const std::string& scorer : t.scorers) {
    const Rng rng = Rng(0) / "bootstrap" / scorer;
    scorers[scorer] = estimate_json(summarise(t, scorer, rng));
    for (const std::string& c : t.categories()) scorers[scorer]["categories"][c] = estimate_json(summarise(t, scorer, rng / c, c, {.draws = 2000}));
  }
  return {{"prompts", prompts.size()}, {"seeds", t.seeds()}, {"pictures", t.pictures.size()}, {"bad", bad}, {"scorers", scorers}};
}

}  // namespace

io::Json score(const ScoreOptions& given) {
  const ScoreOptions o = with_recipe(given);
  const auto start = std::chrono::steady_clock::now();
  if (o.draw.model.empty() == o.pictures.empty()) usage("one of two is scored", "--model, or --pictures");
  if (o.prompts.empty()) usage("there are no prompts", "--prompts FILE");
  if (o.out.empty()) usage("no place for the scores", "--out FOLDER");
  if (o.seeds.empty() || std::set<std::uint64_t>(o.seeds.begin(), o.seeds.end()).size() != o.seeds.size()) usage("seeds are told once each", "--seeds 0,1,2");
  if (dtype_of(o.draw.device) == DType::f64) usage("scorers do not compute in this type", "--dtype f32 or bf16", "f64");
  std::vector<NamedScorer> scorers = scorers_of(o);
  const PromptSet set = read_prompts(o.prompts);
  std::vector<Prompt> prompts = set.prompts;
  if (o.limit) prompts.resize(std::min(prompts.size(), std::size_t(o.limit)));

  std::unique_ptr<Drawer> drawer;
  std::vector<PromptPicture> pictures;
  io::Json from;
  if (o.pictures.empty()) {
    drawer = std::make_unique<Drawer>(o);
    pictures = drawn_pictures(o, prompts);
    from = drawer->settings();
  } else {
    pictures = found_pictures(o, set.prompts);
    from = {{"from", "folder"}, {"digest", digest_of(pictures)}, {"seeds", o.seeds}};
  }
  const RunFolder out(o.out);
  const std::string settings = out / "eval.json";
  keep_settings(settings, {{"format", 1}, {"prompts", prompts_json(o, set)}, {"pictures", from}, {"scoring", {{"dtype", o.draw.device.dtype}, {"batch", o.draw.batch}}}});
  std::error_code none;
  fs::remove(out / "summary.json", none);  // written when all is there
  if (drawer) drawer->draw(pictures);
  drawer.reset();  // a model and a scorer are not in memory together

  add_finished(scorers, o.out, pictures);
  const auto say = [](const std::string& line) { fmt::print(stderr, "{}\n", io::printable(line, 4096)); };
  std::string of;
  std::unique_ptr<Progress> progress;
  const auto tell = [&](Index done, Index total, const std::string& names) {
    if (!progress || names != of) progress = std::make_unique<Progress>("scoring", total, done - std::min(done, o.draw.batch)), of = names;
    progress->update(done, names);
    stop_if_interrupted();
  };
  const auto keep = [&](const ScoreTable& table) {
    io::write_file(out / "scores.jsonl", score_lines(table));
    keep_scorers(settings, table);
  };
  const auto read = [&](Index i) { return io::read_image(o.pictures.empty() ? out / pictures[std::size_t(i)].picture : pictures[std::size_t(i)].picture); };
  const std::uint64_t budget = o.max_memory.empty() ? 0 : bytes_of(o.max_memory);
  ScoreTable table;
  try {
    table = score_pictures(o.out, pictures, read, scorers, {.batch = o.draw.batch, .budget = budget, .skip_bad = o.skip_bad, .say = say, .progress = tell});
  } catch (...) {  // what every scorer has seen is there to be looked at
    if (const ScoreTable some = finished_scores(o.out, pictures, scorers); !some.pictures.empty()) keep(some);
    throw;
  }
  keep(table);
  io::Json summary = summary_of(table);
  summary["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  io::write_file(out / "summary.json", summary.dump(2) + "\n");
  return summary;
}

void score_and_tell(const ScoreOptions& o) {
  const io::Json summary = score(o);
  if (o.json) {
    fmt::print("{}\n", summary.dump(2));
    return;
  }
  const auto row = [](const std::string& name, const io::Json& s) {
    fmt::print("  {:<32} {:>9.4f}  [{:.4f}, {:.4f}]  sd {:.4f}  n {}\n", io::printable(name, 200), s["mean"].get<double>(), s["low"].get<double>(), s["high"].get<double>(), s["sd"].get<double>(), s["n"].get<Index>());
  };
  fmt::print("{} pictures of {} prompts, seed {}\n", summary["pictures"].get<Index>(), summary["prompts"].get<Index>(), fmt::join(summary["seeds"].get<std::vector<std::uint64_t>>(), ", "));
  for (const auto& [name, s] : summary["scorers"].items()) {
    row(name, s);
    if (s.contains("categories"))
      for (const auto& [category, c] : s["categories"].items()) row("  " + category, c);
  }
  if (const std::size_t bad = summary["bad"].size()) fmt::print("{} pictures passed over\n", bad);
  fmt::print("{:.1f} s\n", summary["seconds"].get<double>());
}

}  // namespace sspo::cli
