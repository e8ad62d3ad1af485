// What the models draw for the same prompts from the same noise, side by side.
#include <algorithm>
#include <cmath>

#include "report/demo_log.hpp"
#include "report/picture.hpp"
#include "report/run_log.hpp"

namespace sspo::report {
namespace {

constexpr std::size_t shown_prompts = 12;

struct Sheet {
  std::string title;
  const Scored* scores;
  io::Image picture;
  // summary.json's "pictures": how the sheet is laid out; 0: not told.
  Index columns = 0, gap = 0, side = 0;
};

std::optional<Sheet> sheet_of(const std::string& title, const Scored& s) {
  auto image = find_picture(s.folder / "pictures.png");
  if (!image) return {};
  Sheet sheet{.title = title, .scores = &s, .picture = std::move(*image)};
  const auto field = [&](const char* name) {
    const double v = number_at(s.summary, {"pictures", name});
    return std::isfinite(v) && v >= 0 && v < 1e6 ? Index(v) : 0;
  };
  sheet.columns = field("columns"), sheet.gap = field("gap"), sheet.side = field("side");
  return sheet;
}

std::optional<io::Image> tile(const Sheet& s, Index i) {
  if (s.columns < 1 || s.side < 1) return {};
  const Index x = s.gap + i % s.columns * (s.side + s.gap), y = s.gap + i / s.columns * (s.side + s.gap);
  if (x + s.side > s.picture.width || y + s.side > s.picture.height) return {};
  return io::crop(s.picture, x, y, s.side, s.side);
}

// The prompts in the order of the sheet: as they first come in scores.jsonl.
std::vector<std::string> prompts_of(const Scored& s) {
  std::vector<std::string> names;
  for (const Score& row : s.rows)
    if (std::find(names.begin(), names.end(), row.name) == names.end()) names.push_back(row.name);
  return names;
}

}  // namespace

Html pictures_section(const DemoLog& demo, const std::string& setting) {
  std::vector<Sheet> sheets;
  const auto add = [&](const std::string& title, const Scored& s) {
    if (auto sheet = sheet_of(title, s)) sheets.push_back(std::move(*sheet));
  };
  add("base", demo.base);
  std::string seed;
  for (const std::string& method : demo.methods(setting)) {
    const Trained& first = *demo.of(setting, method).front();
    add(method_title(method), first.scores);
    if (seed.empty()) seed = std::to_string(first.seed);
  }
  if (sheets.empty() || seed.empty()) return {};
  add("a real one, preferred style", demo.preferred);

  Html html = paragraph("The same prompts and the same noise for every model; each method's first seed, " + seed + ". The first prompts in the order of the evaluation: nothing was picked or sorted.");
  PictureRows rows{.titles = {}, .rows = {}};
  for (const Sheet& s : sheets) rows.titles.push_back(s.title);
  const std::vector<std::string> prompts = prompts_of(*sheets[0].scores);
  for (std::size_t i = 0; i < std::min(shown_prompts, prompts.size()); ++i) {
    PictureRows::Row row{.pictures = {}, .under = prompts[i]};
    bool any = false;
    for (const Sheet& s : sheets) {
      const auto image = prompts_of(*s.scores).size() > i && prompts_of(*s.scores)[i] == prompts[i] ? tile(s, Index(i)) : std::nullopt;
      any = any || image.has_value();
      row.pictures.push_back(image ? picture(*image, prompts[i] + ", " + s.title, 4) : Html{});
    }
    if (any) rows.rows.push_back(std::move(row));
  }
  html += picture_rows(rows);
  std::vector<Html> whole;
  for (const Sheet& s : sheets) whole.push_back(figure(picture(s.picture, "all pictures of " + s.title, 1), s.title));
  return html + (rows.rows.empty() ? columns(whole) : folded("The whole sheets", columns(whole)));
}

}  // namespace sspo::report
