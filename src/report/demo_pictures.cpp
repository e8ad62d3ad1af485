// What the models draw for the same prompts from the same noise, side by side.
#include <algorithm>
#include <cmath>

#include "report/demo_folder.hpp"
#include "report/picture.hpp"
#include "report/run_log.hpp"

namespace sspo::report {
namespace {

constexpr std::size_t shown_prompts = 12;

struct Sheet {
  std::string title;
  std::vector<std::string> prompts;  // of its pictures, in order: summary.json's pictures.names
  io::Image picture;
  Index columns, side;               // as `sspo eval` lays them: up to 12 columns, two pixels between
};
constexpr Index gap = 2;

std::optional<Sheet> sheet_of(const std::string& title, const Scored& s) {
  auto image = find_picture(s.folder / "pictures.png");
  if (!image) return {};
  std::vector<std::string> prompts;
  if (const io::Json pictures = s.summary.value("pictures", io::Json::object()); pictures.is_object() && pictures.contains("names") && pictures["names"].is_array())
    for (const io::Json& name : pictures["names"])
      if (name.is_string() && prompts.size() < 48) prompts.push_back(name.get<std::string>());
  const Index columns = std::clamp<Index>(Index(prompts.size()), 1, 12), side = (image->width - gap) / columns - gap;
  return Sheet{title, std::move(prompts), std::move(*image), columns, side};
}

std::optional<io::Image> tile(const Sheet& s, std::size_t i) {
  const Index x = gap + Index(i) % s.columns * (s.side + gap), y = gap + Index(i) / s.columns * (s.side + gap);
  if (s.side < 1 || x + s.side > s.picture.width || y + s.side > s.picture.height) return {};
  return io::crop(s.picture, x, y, s.side, s.side);
}

}  // namespace

Html pictures_section(const DemoFolder& demo, const std::string& setting) {
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

  Html html = paragraph("The same prompts and the same noise for every model; each method's first seed, " + seed + ". Names at equal distances in the order of the data set: nothing was picked or sorted.");
  PictureRows rows{.titles = {}, .rows = {}};
  for (const Sheet& s : sheets) rows.titles.push_back(s.title);
  const std::vector<std::string>& prompts = sheets[0].prompts;
  const std::size_t every = std::max<std::size_t>(1, prompts.size() / shown_prompts);
  for (std::size_t i = 0; i < prompts.size() && i / every < shown_prompts; i += every) {
    PictureRows::Row row{.pictures = {}, .under = prompts[i]};
    bool any = false;
    for (const Sheet& s : sheets) {
      const auto image = i < s.prompts.size() && s.prompts[i] == prompts[i] ? tile(s, i) : std::nullopt;
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
