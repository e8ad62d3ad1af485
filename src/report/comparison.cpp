#include "report/comparison.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "report/chart.hpp"
#include "report/reading.hpp"

namespace sspo::report {
namespace {

constexpr int digits = 3;

std::string p_text(double p) { return p < 0.001 ? "< 0.001" : number(p, 3); }
std::string n_text(Index n, std::size_t seeds) { return fmt::format("n {}, {}", n, count_of(seeds, "seed")); }
std::string minus(const EvaluationComparison& c, std::size_t i) { return c.names[i] + " \u2212 " + c.names[c.against]; }

Cell score_cell(const ScoreSummary& s) {
  return {number(s.estimate.mean, digits), interval(s.estimate.low, s.estimate.high, digits) + fmt::format(", sd {}, {}", number(s.estimate.deviation, digits), n_text(s.estimate.n, std::size_t(s.seeds)))};
}

// Seeds whose own mean difference has the sign of the whole.
std::size_t agreeing(const PairedScores& p) {
  return std::size_t(std::count_if(p.by_seed.begin(), p.by_seed.end(), [&](const PairedLine& l) { return (l.comparison.difference.mean > 0) == (p.all.comparison.difference.mean > 0) && l.comparison.difference.mean != 0; }));
}

Difference difference_of(const PairedScores& p) {
  const Estimate& d = p.all.comparison.difference;
  return {.prompts = std::size_t(d.n), .seeds = p.seeds.size(), .agree = agreeing(p), .mean = d.mean, .low = d.low, .high = d.high, .p = p.all.comparison.p};
}

template <class F>
void each_other(const EvaluationComparison& c, F f) {
  for (std::size_t i = 0; i < c.names.size(); ++i)
    if (i != c.against) f(i);
}

TitledTable scores(const EvaluationComparison& c) {
  TitledTable t{"Scores", "Mean over prompts of the mean over a prompt's seeds; beneath it the 95 % bootstrap interval over prompts, the deviation between prompts, and how many there are. Where there are several seeds: the deviation of their own means.", {.head = {"evaluation"}}};
  for (const ComparedScorer& s : c.scorers) t.table.head.push_back(s.scorer);
  for (std::size_t i = 0; i < c.names.size(); ++i) {
    std::vector<Cell> row = {{c.names[i]}};
    for (const ComparedScorer& s : c.scorers) {
      row.push_back(score_cell(s.summaries[i]));
      if (s.summaries[i].seeds > 1) row.back().small += ", sd of seeds " + number(s.summaries[i].seed_deviation, digits);
    }
    t.table.rows.push_back(row);
  }
  return t;
}

std::vector<Cell> difference_row(const std::string& title, const std::string& scorer, const PairedLine& l, const std::string& seeds) {
  const Estimate& d = l.comparison.difference;
  return {{title}, {short_name(scorer)}, {signed_number(d.mean, digits), interval(d.low, d.high, digits)}, {signed_number(l.median_difference, digits)}, {number(l.median_a, digits) + ", " + number(l.median_b, digits)},
          {number(100 * l.wins.mean, 1) + " %", interval(100 * l.wins.low, 100 * l.wins.high, 1)}, {p_text(l.comparison.p)}, {std::to_string(l.prompts)}, {seeds}};
}
const std::vector<std::string> difference_head = {"difference", "scorer", "mean", "median", "medians", "win rate", "p", "n", "seeds"};

TitledTable paired(const EvaluationComparison& c) {
  TitledTable t{"Differences", "Prompt by prompt, pictures of equal prompt and seed. Win rate: share of pictures with the higher score, ties half. p: two-sided, signs of the prompts' differences flipped at random; as many tests as lines, none corrected for the others. Seeds: those whose own mean difference has the sign of the whole.", {.head = difference_head}};
  each_other(c, [&](std::size_t i) {
    for (const ComparedScorer& s : c.scorers) t.table.rows.push_back(difference_row(minus(c, i), s.scorer, s.pairs[i].all, fmt::format("{} of {}", agreeing(s.pairs[i]), s.pairs[i].seeds.size())));
  });
  return t;
}

TitledTable by_seed(const EvaluationComparison& c) {
  TitledTable t{"Differences, seed by seed", "The same for the pictures of each seed alone.", {.head = difference_head}};
  each_other(c, [&](std::size_t i) {
    for (const ComparedScorer& s : c.scorers)
      for (std::size_t k = 0; k < s.pairs[i].seeds.size() && s.pairs[i].seeds.size() > 1; ++k)
        t.table.rows.push_back(difference_row(minus(c, i), s.scorer, s.pairs[i].by_seed[k], std::to_string(s.pairs[i].seeds[k])));
  });
  return t;
}

TitledTable by_category(const EvaluationComparison& c) {
  TitledTable t{"By category", "Mean over the prompts of a category, with its interval.", {.head = {"category", "scorer"}}};
  for (const std::string& name : c.names) t.table.head.push_back(name);
  for (std::size_t k = 0; k < c.categories.size(); ++k)
    for (const ComparedScorer& s : c.scorers) {
      std::vector<Cell> row = {{c.categories[k]}, {short_name(s.scorer)}};
      for (const ScoreSummary& e : s.categories[k]) row.push_back({number(e.estimate.mean, digits), interval(e.estimate.low, e.estimate.high, digits) + ", " + n_text(e.estimate.n, std::size_t(e.seeds))});
      t.table.rows.push_back(row);
    }
  return t;
}

// Methods in their order, each once.
std::vector<std::string_view> methods_of(const Protocol& p) {
  std::vector<std::string_view> all;
  for (const PublishedFigure& f : published_figures())
    if (f.protocol == p.name && std::find(all.begin(), all.end(), f.method) == all.end()) all.push_back(f.method);
  return all;
}

// Our evaluations of this very protocol, and what has been published of it.
TitledTable published(const EvaluationComparison& c, const Protocol& p) {
  TitledTable t{"Published figures: " + std::string(p.title), "Theirs are means over one picture a prompt, of one run, without an interval. Source: " + std::string(p.source) + ".", {.head = {"method"}}};
  std::vector<std::size_t> ours;
  for (std::size_t i = 0; i < c.names.size(); ++i)
    if (differences(p, c.settings[i]).empty()) ours.push_back(i);
  std::vector<const ComparedScorer*> columns;
  for (const ComparedScorer& s : c.scorers)
    if (std::any_of(published_figures().begin(), published_figures().end(), [&](const PublishedFigure& f) { return f.protocol == p.name && f.scorer == short_name(s.scorer); })) columns.push_back(&s);
  if (ours.empty() || columns.empty()) return t;
  for (const ComparedScorer* s : columns) t.table.head.push_back(short_name(s->scorer));
  for (const std::size_t i : ours) {
    std::vector<Cell> row = {{c.names[i], "ours"}};
    for (const ComparedScorer* s : columns) row.push_back(score_cell(s->summaries[i]));
    t.table.rows.push_back(row);
  }
  for (const std::string_view method : methods_of(p)) {
    std::vector<Cell> row = {{std::string(method), "published"}};
    for (const ComparedScorer* s : columns) {
      row.push_back({"\u2013"});
      for (const PublishedFigure& f : published_figures())
        if (f.protocol == p.name && f.method == method && f.scorer == short_name(s->scorer)) row.back() = {number(f.value, f.digits)};
    }
    t.table.rows.push_back(row);
  }
  return t;
}

TitledTable not_published(const EvaluationComparison& c) {
  TitledTable t{"Why published figures do not stand beside these", "Figures of another protocol do not compare: what differs.", {.head = {"evaluation", "protocol", "what differs"}, .rows = {}, .words = true}};
  for (std::size_t i = 0; i < c.names.size(); ++i)
    for (const Protocol& p : protocols()) {
      std::string all;
      for (const std::string& d : differences(p, c.settings[i])) all += (all.empty() ? "" : "; ") + d;
      if (!all.empty()) t.table.rows.push_back({{c.names[i]}, {std::string(p.name)}, {all}});
    }
  return t;
}

TitledTable settings(const EvaluationComparison& c) {
  TitledTable t{"How it was done", "", {.head = {"evaluation", "prompts", "pictures", "scored in"}, .rows = {}, .words = true}};
  for (std::size_t i = 0; i < c.names.size(); ++i) {
    const EvalSettings& s = c.settings[i];
    t.table.rows.push_back({{c.names[i]}, {fmt::format("{} ({}), digest {}{}", s.prompts, s.prompt_form, s.prompt_digest.substr(0, 10), s.limit ? fmt::format(", the first {}", s.limit) : "")},
                            {s.drawn ? fmt::format("{}, {} steps, guidance {}, {} x {}, {}{}", s.sampler, s.steps, s.guidance, s.width, s.height, s.drawn_in, s.negative_prompt.empty() ? "" : ", away from " + s.negative_prompt) : "from a folder"},
                            {fmt::format("{}, {} at a time", s.scored_in, s.batch)}});
  }
  return t;
}

Html plots(const EvaluationComparison& c) {
  std::vector<Html> all;
  for (const ComparedScorer& s : c.scorers) {
    DotPlot plot{.title = short_name(s.scorer) + " minus that of " + c.names[c.against], .note = "mean over prompts, 95 % interval", .dots = {}, .level = 0, .digits = digits};
    each_other(c, [&](std::size_t i) { const Estimate& d = s.pairs[i].all.comparison.difference; plot.dots.push_back({io::printable(c.names[i], 22), d.mean, d.low, d.high, int(i % 7) + 1}); });
    all.push_back(dot_plot(plot));
  }
  return columns(all);
}

std::vector<std::string> sentences(const EvaluationComparison& c) {
  std::vector<std::string> all;
  each_other(c, [&](std::size_t i) {
    std::vector<Found> found;
    for (const ComparedScorer& s : c.scorers) found.push_back({short_name(s.scorer), difference_of(s.pairs[i])});
    all.push_back(reading(c.names[i], c.names[c.against], found));
  });
  for (const std::string& s : c.left_out) all.push_back("Left out: " + s + ".");
  return all;
}

// A | would end a cell, others begin something; [ does before a ( alone.
std::string markdown_text(const std::string& raw) {
  std::string out;
  const std::string text = io::printable(raw, 4096);
  const bool links = text.find("](") != text.npos;
  for (const char ch : text) {
    if (std::string_view("|\\`*_").find(ch) != std::string_view::npos || (ch == '[' && links)) out += '\\';
    if (ch == '<') out += "&lt;";
    else if (ch == '&') out += "&amp;";
    else out += ch;
  }
  return out;
}

std::string markdown_row(const std::vector<Cell>& cells) {
  std::string line = "|";
  for (const Cell& c : cells) line += " " + markdown_text(c.value) + (c.small.empty() ? "" : " (" + markdown_text(c.small) + ")") + " |";
  return line + "\n";
}

std::string csv_field(const std::string& raw) {
  if (raw.find_first_of(",\"\r\n") == raw.npos) return raw;
  std::string out = "\"";
  for (const char ch : raw) out += ch == '"' ? "\"\"" : std::string(1, ch);
  return out + "\"";
}

}  // namespace

std::vector<TitledTable> comparison_tables(const EvaluationComparison& c) {
  std::vector<TitledTable> all = {scores(c), paired(c), by_seed(c), by_category(c)};
  for (const Protocol& p : protocols()) all.push_back(published(c, p));
  all.push_back(not_published(c)), all.push_back(settings(c));
  std::erase_if(all, [](const TitledTable& t) { return t.table.rows.empty(); });
  return all;
}

std::string comparison_page(const EvaluationComparison& c) {
  Page page("sspo: evaluations compared", "Pictures for the same prompts, by published scorers, prompt by prompt. Every number was computed by the program that wrote it; the page needs no other file and no network.");
  Html words;
  for (const std::string& s : sentences(c)) words += paragraph(s);
  page.section("In words", words + plots(c));
  for (const TitledTable& t : comparison_tables(c)) page.section(t.title, (t.note.empty() ? Html{} : note(t.note)) + table(t.table));
  return page.html();
}

std::string comparison_markdown(const EvaluationComparison& c) {
  std::string out = "# Evaluations compared\n\n";
  for (const std::string& s : sentences(c)) out += markdown_text(s) + "\n\n";
  for (const TitledTable& t : comparison_tables(c)) {
    out += "## " + markdown_text(t.title) + "\n\n" + (t.note.empty() ? "" : markdown_text(t.note) + "\n\n");
    std::vector<Cell> head;
    for (const std::string& h : t.table.head) head.push_back({h});
    out += markdown_row(head) + "|";
    for (std::size_t i = 0; i < head.size(); ++i) out += i && !t.table.words ? " ---: |" : " --- |";
    out += "\n";
    for (const std::vector<Cell>& row : t.table.rows) out += markdown_row(row);
    out += "\n";
  }
  return out;
}

std::string comparison_csv(const EvaluationComparison& c) {
  std::string out = "table,evaluation,against,scorer,category,seed,quantity,value,low,high,p,n,seeds\n";
  const auto line = [&](const std::string& name, const std::string& evaluation, const std::string& against, const std::string& scorer, const std::string& category, const std::string& seed,
                        const std::string& quantity, const std::string& numbers) {
    for (const std::string& field : {name, evaluation, against, scorer, category, seed, quantity}) out += csv_field(field) + ",";
    out += numbers + "\n";
  };
  const auto of = [](const Estimate& e, const std::string& p, Index seeds) { return fmt::format("{},{},{},{},{},{}", e.mean, e.low, e.high, p, e.n, seeds); };
  const auto bare = [](double v, Index n, Index seeds) { return fmt::format("{},,,,{},{}", v, n, seeds); };
  for (const ComparedScorer& s : c.scorers)
    for (std::size_t i = 0; i < c.names.size(); ++i) {
      const auto summary = [&](const ScoreSummary& e, const std::string& category) {
        line("score", c.names[i], "", s.scorer, category, "", "mean", of(e.estimate, "", e.seeds));
        line("score", c.names[i], "", s.scorer, category, "", "median", bare(e.median, e.estimate.n, e.seeds));
        line("score", c.names[i], "", s.scorer, category, "", "sd", bare(e.estimate.deviation, e.estimate.n, e.seeds));
        if (e.seeds > 1) line("score", c.names[i], "", s.scorer, category, "", "sd of seeds", bare(e.seed_deviation, e.estimate.n, e.seeds));
      };
      summary(s.summaries[i], "");
      for (std::size_t k = 0; k < c.categories.size(); ++k) summary(s.categories[k][i], c.categories[k]);
      const auto pair = [&](const PairedLine& l, const std::string& seed, Index seeds) {
        line("difference", c.names[i], c.names[c.against], s.scorer, "", seed, "mean", of(l.comparison.difference, fmt::format("{}", l.comparison.p), seeds));
        line("difference", c.names[i], c.names[c.against], s.scorer, "", seed, "median", bare(l.median_difference, l.prompts, seeds));
        line("difference", c.names[i], c.names[c.against], s.scorer, "", seed, "win rate", of(l.wins, "", seeds));
      };
      if (i == c.against) continue;
      pair(s.pairs[i].all, "", Index(s.pairs[i].seeds.size()));
      for (std::size_t k = 0; k < s.pairs[i].seeds.size() && s.pairs[i].seeds.size() > 1; ++k) pair(s.pairs[i].by_seed[k], std::to_string(s.pairs[i].seeds[k]), 1);
    }
  for (const Protocol& p : protocols())
    for (const PublishedFigure& f : published_figures())
      if (f.protocol == p.name && std::any_of(c.settings.begin(), c.settings.end(), [&](const EvalSettings& s) { return differences(p, s).empty(); }))
        line("published: " + std::string(p.name), std::string(f.method), "", std::string(f.scorer), "", "", "mean", bare(f.value, p.prompts, 1));
  return out;
}

}  // namespace sspo::report
