// The demo's table, the differences behind it, and what they support.
#include <algorithm>
#include <cmath>

#include "report/chart.hpp"
#include "report/demo_folder.hpp"
#include "report/reading.hpp"
#include "report/run_log.hpp"

namespace sspo::report {
namespace {

const std::vector<std::size_t> table_measures = {0, 2, 3, 4}, all_measures = {0, 1, 2, 3, 4};  // of measures()

std::string split_title(const std::string& split) { return split == "train" ? "training names" : split == "held-out" ? "held-out names" : split; }
std::size_t prompts_of(const Scored& s, const std::string& split) {
  std::vector<std::string> names;
  for (const Score& row : s.rows)
    if (row.split == split) names.push_back(row.name);
  std::sort(names.begin(), names.end());
  return std::size_t(std::unique(names.begin(), names.end()) - names.begin());
}

double frechet_of(const Scored& s) { return number_at(s.summary, {"frechet"}); }

// Mean over the seeds, their standard deviation beneath.
std::vector<Cell> table_row(const std::string& title, const std::vector<const Scored*>& seeds, const std::string& split, bool frechet) {
  std::vector<Cell> row = {{title, seeds.size() > 1 ? count_of(seeds.size(), "seed") : ""}};
  const auto add = [&](const std::vector<double>& means, int digits) {
    const OverSeeds o = over_seeds(means);
    row.push_back({number(o.mean, digits), std::isfinite(o.deviation) ? "\u00b1 " + number(o.deviation, digits) : ""});
  };
  for (const std::size_t i : table_measures) {
    std::vector<double> means;
    for (const Scored* s : seeds) means.push_back(mean_of(*s, measures()[i], split));
    add(means, 3);
  }
  if (frechet) {
    std::vector<double> values;
    for (const Scored* s : seeds) values.push_back(frechet_of(*s));
    add(values, 1);
  }
  return row;
}

std::vector<const Scored*> scores_of(const std::vector<const Trained*>& seeds) {
  std::vector<const Scored*> all;
  for (const Trained* t : seeds)
    if (t->scores.there()) all.push_back(&t->scores);
  return all;
}

// Seed by seed; against the base, which has one evaluation.
ScoredPairs pairs_against(const DemoFolder& demo, const std::string& setting, const std::string& method, const std::string& against) {
  ScoredPairs pairs;
  for (const Trained* a : demo.of(setting, method)) {
    if (!a->scores.there()) continue;
    if (against == "base") {
      if (demo.base.there()) pairs.emplace_back(&a->scores, &demo.base);
    } else {
      for (const Trained* b : demo.of(setting, against))
        if (b->seed == a->seed && b->scores.there()) pairs.emplace_back(&a->scores, &b->scores);
    }
  }
  return pairs;
}

std::string p_value(double p) { return p < 0.001 ? "< 0.001" : number(p, 3); }

struct Compared {
  std::string method, against;
  std::vector<Found> found;
};
std::vector<Compared> compare_all(const DemoFolder& demo, const std::string& setting, const std::string& split) {
  std::vector<Compared> all;
  for (const char* against : {"base", "sft"})
    for (const std::string& method : demo.methods(setting)) {
      if (method == against) continue;
      const ScoredPairs pairs = pairs_against(demo, setting, method, against);
      if (pairs.empty()) continue;
      Compared c{.method = method, .against = against, .found = {}};
      for (const std::size_t i : all_measures) {
        const Difference d = difference(pairs, measures()[i], split, Rng{0} / "report" / setting / split / method / against / measures()[i].name);
        if (d.prompts > 0) c.found.push_back({measures()[i].title, d});
      }
      if (!c.found.empty()) all.push_back(std::move(c));
    }
  return all;
}

Html difference_plots(const std::vector<Compared>& all) {
  std::vector<Html> plots;
  for (const char* against : {"base", "sft"})
    for (const std::size_t i : table_measures) {
      DotPlot plot{.title = std::string(measures()[i].title) + " minus that of " + method_title(against), .dots = {}, .level = 0};
      for (const Compared& c : all)
        for (const Found& f : c.found)
          if (c.against == against && f.measure == measures()[i].title) plot.dots.push_back({method_title(c.method), f.difference.mean, f.difference.low, f.difference.high, method_colour(c.method)});
      if (!plot.dots.empty()) plots.push_back(dot_plot(plot));
    }
  return columns(plots);
}

Html difference_table(const std::vector<Compared>& all) {
  Table t{.head = {"difference", "measure", "mean", "interval, 95 %", "p", "prompts", "seeds of that sign"}, .rows = {}};
  for (const Compared& c : all)
    for (const Found& f : c.found) {
      const Difference& d = f.difference;
      t.rows.push_back({{method_title(c.method) + " \u2212 " + method_title(c.against)}, {f.measure}, {signed_number(d.mean, 3)}, {interval(d.low, d.high, 3)}, {p_value(d.p)}, {std::to_string(d.prompts)},
                        {std::to_string(d.agree) + " of " + std::to_string(d.seeds)}});
    }
  return folded("All differences, with p of a sign-flip test", table(t));
}

Html reading_of(const std::vector<Compared>& all) {
  Html html;
  std::string words, against;
  for (const Compared& c : all) {
    if (c.against != against && !words.empty()) html += paragraph(words), words.clear();
    against = c.against;
    std::vector<Found> shown;  // the columns of the table
    for (const Found& f : c.found)
      if (f.measure != measures()[1].title) shown.push_back(f);
    words += (words.empty() ? "" : " ") + reading(method_title(c.method), method_title(c.against), shown);
  }
  return words.empty() ? html : html + paragraph(words);
}

Html of_split(const DemoFolder& demo, const std::string& setting, const std::string& split, bool frechet) {
  Table t{.head = {"method", "near", "style", "caption", "R@1"}, .rows = {}};
  if (frechet) t.head.push_back("FD");
  const auto add = [&](const std::string& title, const std::vector<const Scored*>& seeds) {
    std::vector<const Scored*> with;
    for (const Scored* s : seeds)
      if (prompts_of(*s, split) > 0) with.push_back(s);
    if (!with.empty()) t.rows.push_back(table_row(title, with, split, frechet));
  };
  add("base", {&demo.base});
  for (const std::string& method : demo.methods(setting)) add(method_title(method), scores_of(demo.of(setting, method)));
  if (t.rows.empty()) return {};
  add("real pictures, preferred style", {&demo.preferred});
  add("real pictures, other style", {&demo.other});
  std::size_t most = prompts_of(demo.base, split);
  for (const Trained& m : demo.trained)
    if (m.setting == setting) most = std::max(most, prompts_of(m.scores, split));
  const std::vector<Compared> compared = compare_all(demo, setting, split);
  return heading("On " + split_title(split) + ": " + count_of(most, "prompt")) + table(t) + reading_of(compared) + difference_plots(compared) + difference_table(compared);
}

}  // namespace

Html results_section(const DemoFolder& demo, const std::string& setting) {
  std::vector<const Scored*> all = {&demo.base};
  for (const Trained& t : demo.trained)
    if (t.setting == setting) all.push_back(&t.scores);
  Html html;
  bool first = true;
  for (const std::string& split : splits_of(all)) {
    html += of_split(demo, setting, split, first);  // the distance is of all pictures: shown once
    first = false;
  }
  if (html.empty()) return {};
  Table rates{.head = {"method", "learning rate", "kappa", "seeds"}, .rows = {}};
  for (const std::string& method : demo.methods(setting)) {
    const std::vector<const Trained*> runs = demo.of(setting, method);
    std::string seeds;
    for (const Trained* t : runs) seeds += (seeds.empty() ? "" : ", ") + std::to_string(t->seed);
    rates.rows.push_back({{method_title(method)}, {short_number(runs[0]->lr)}, {short_number(runs[0]->kappa)}, {seeds}});
  }
  std::string legend = "Mean over seeds, \u00b1 their standard deviation.";
  for (const std::size_t i : table_measures) legend += std::string(" ") + measures()[i].title + ": " + measures()[i].what + ".";
  legend += " FD: Fr\u00e9chet distance to the preferred style's training pictures in the judge's features, lower is better, over all that was judged; it has no interval here. Differences are paired by prompt and noise; an interval is a "
            "bootstrap over prompts, and does not hold the spread between seeds, which is why a difference is called one only if every seed has its sign. Of twenty such intervals one leaves out zero by chance.";
  return paragraph(setting_note(setting)) + html + note(legend) + folded("Each method's own settings", table(rates));
}

}  // namespace sspo::report
