#include "sspo/eval/evaluation.hpp"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>

#include "io/json.hpp"

namespace sspo {
namespace {

namespace fs = std::filesystem;

EvalSettings read_settings(const std::string& path) {
  const io::Place place{.path = path};
  const io::Json json = io::read_json(path);
  io::Fields all(json, place);
  const auto part = [&](const char* name) {
    const io::Json* p = all.raw(name);
    if (!p) io::bad_file(place.in(name), "is missing", "eval.json of sspo eval --scorers");
    return p;
  };
  EvalSettings s;
  constexpr Index many = std::numeric_limits<Index>::max();
  io::Fields prompts(*part("prompts"), place.in("prompts"));
  s.prompt_form = prompts.text("form"), s.prompt_digest = prompts.text("digest"), s.prompts = prompts.integer("n", 1, many), s.limit = prompts.integer("limit", 0, many, 0);
  io::Fields pictures(*part("pictures"), place.in("pictures"));
  s.drawn = pictures.choice("from", {"model", "folder"}) == "model";
  if (s.drawn) {
    s.sampler = pictures.text("sampler"), s.steps = pictures.integer("steps", 1, many), s.guidance = pictures.number("guidance", 0, 1e6);
    s.height = pictures.integer("height", 1, many), s.width = pictures.integer("width", 1, many);
    s.negative_prompt = pictures.text("negative_prompt", ""), s.drawn_in = pictures.text("dtype", "");
  }
  io::Fields scoring(*part("scoring"), place.in("scoring"));
  s.scored_in = scoring.text("dtype"), s.batch = scoring.integer("batch", 1, many);
  return s;
}

std::string last_part(const std::string& folder) {
  fs::path path = fs::path(folder).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return path.filename().string();
}

const std::string* find_short(const ScoreTable& t, const std::string& name) {
  for (const std::string& s : t.scorers)
    if (short_name(s) == name) return &s;
  return nullptr;
}

void require_same_prompts(const Evaluation& a, const Evaluation& b) {
  const EvalSettings &x = a.settings, &y = b.settings;
  if (x.prompt_digest != y.prompt_digest || x.limit != y.limit)
    fail({.op = io::printable(b.folder, 4096), .what = "scores of other prompts than " + io::printable(a.folder, 4096), .expected = std::to_string(x.prompts) + " prompts, digest " + x.prompt_digest.substr(0, 10),
          .got = std::to_string(y.prompts) + ", " + y.prompt_digest.substr(0, 10) + (x.limit != y.limit ? ", --limit " + std::to_string(y.limit) : "")}, Site{});
  std::map<Index, std::string> texts;  // and what the rows say
  for (const PromptPicture& p : a.table.pictures) texts.emplace(p.prompt, p.text);
  for (const PromptPicture& p : b.table.pictures)
    if (const auto it = texts.find(p.prompt); it != texts.end() && it->second != p.text)
      fail({.op = io::printable(b.folder, 4096), .what = "prompt " + std::to_string(p.prompt) + " is another one than in " + io::printable(a.folder, 4096), .expected = io::printable(it->second), .got = io::printable(p.text)}, Site{});
}

// Full names of what all have; those of the first are the measure.
std::vector<std::string> common_scorers(const std::vector<Evaluation>& all, std::vector<std::string>& left_out) {
  std::vector<std::string> common;
  std::vector<std::string> names;  // short, as they come first
  for (const Evaluation& e : all)
    for (const std::string& s : e.table.scorers)
      if (std::find(names.begin(), names.end(), short_name(s)) == names.end()) names.push_back(short_name(s));
  for (const std::string& name : names) {
    const std::string* first = nullptr;
    std::string where;
    std::size_t count = 0;
    for (const Evaluation& e : all) {
      const std::string* here = find_short(e.table, name);
      if (!here) continue;
      ++count, where += (where.empty() ? "" : ", ") + e.name;
      if (!first) first = here;
      else if (*first != *here)
        fail({.op = io::printable(e.folder, 4096), .what = name + " is of another version, or of other weights, than in " + io::printable(all[0].folder, 4096), .expected = *first, .got = *here}, Site{});
    }
    if (count == all.size()) common.push_back(*first);
    else left_out.push_back(name + ", which stands in " + where + " alone");
  }
  return common;
}

}  // namespace

std::string short_name(std::string_view full) { return std::string(full.substr(0, std::min(full.find(':'), full.size()))); }

Evaluation read_evaluation(const std::string& folder) {
  std::error_code none;
  if (!fs::exists(folder + "/eval.json", none)) io::bad_file({.path = folder}, "no evaluation", "eval.json and scores.jsonl, of sspo eval --scorers", fs::is_directory(folder, none) ? "no eval.json" : "no folder");
  Evaluation e{.name = last_part(folder), .folder = folder, .settings = read_settings(folder + "/eval.json"), .table = {}};
  if (!fs::exists(folder + "/summary.json", none)) io::bad_file({.path = folder}, "the evaluation is not finished", "summary.json", "none", "run sspo eval there again: it goes on");
  e.table = read_scores(folder + "/scores.jsonl");
  if (e.table.scorers.empty()) io::bad_file({.path = folder + "/scores.jsonl"}, "no picture was scored", "scores");
  return e;
}

EvaluationComparison compare_evaluations(const std::vector<Evaluation>& all, std::size_t against, const Rng& rng, BootstrapOptions options) {
  if (all.size() < 2 || against >= all.size()) fail({.op = "compare", .what = "nothing to compare with", .expected = "two evaluations or more", .got = std::to_string(all.size())}, Site{});
  const Evaluation& base = all[against];
  EvaluationComparison c{.names = {}, .settings = {}, .against = against, .scorers = {}, .left_out = {}, .categories = base.table.categories()};
  for (const Evaluation& e : all) {
    require_same_prompts(base, e);
    const bool alone = std::count_if(all.begin(), all.end(), [&](const Evaluation& o) { return o.name == e.name; }) == 1;
    c.names.push_back(alone ? e.name : e.folder), c.settings.push_back(e.settings);
  }
  for (const std::string& scorer : common_scorers(all, c.left_out)) {
    ComparedScorer s{.scorer = scorer, .summaries = {}, .pairs = {}, .categories = {}};
    const Rng path = rng / scorer;
    for (const Evaluation& e : all) {  // paths of every evaluation alike: the same prompts are drawn, so that intervals can be held side by side
      s.summaries.push_back(summarise(e.table, scorer, path / "mean", {}, options));
      s.pairs.push_back(compare_scores(e.table, base.table, scorer, path / "difference", options));
    }
    for (const std::string& category : c.categories) {
      std::vector<ScoreSummary>& row = s.categories.emplace_back();
      for (const Evaluation& e : all) row.push_back(summarise(e.table, scorer, path / "mean" / category, category, options));
    }
    c.scorers.push_back(std::move(s));
  }
  if (c.scorers.empty()) fail({.op = "compare", .what = "no scorer that all have", .expected = "one or more", .got = c.left_out.empty() ? "none" : c.left_out.front()}, Site{});
  return c;
}

}  // namespace sspo
