// `sspo data emoji`: the names that two styles draw, and both drawings of each.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/data.hpp"
#include "cli/data_folder.hpp"
#include "cli/emoji/font.hpp"
#include "cli/emoji/names.hpp"
#include "cli/progress.hpp"
#include "cli/signals.hpp"
#include "io/json.hpp"
#include "io/png.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

// What the options leave out lies where Debian's packages put it.
struct Sources {
  std::string font, names, pngs;
};

[[noreturn]] void not_installed(const std::string& path, const std::string& what, const char* option) {
  fail({.op = io::printable(path, 4096), .what = what + " are not there",
        .hint = std::string("apt-get install fonts-noto-color-emoji unicode-cldr-core ruby-gemojione, or say where with ") + option, .kind = ErrorKind::file}, Site{});
}

std::string gemojione_folder() {
  const std::string gems = "/usr/share/rubygems-integration/all/gems";
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator it(gems, error), end; !error && it != end; it.increment(error))
    if (it->path().filename().string().starts_with("gemojione-")) found.push_back(it->path().string() + "/assets/png");
  return found.empty() ? gems + "/gemojione-3.3.0/assets/png" : *std::max_element(found.begin(), found.end());
}

Sources find_sources(const DataEmojiOptions& o) {
  const Sources s{o.font.empty() ? "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf" : o.font, o.names.empty() ? "/usr/share/unicode/cldr/common" : o.names,
                  o.pngs.empty() ? gemojione_folder() : o.pngs};
  std::error_code error;
  if (!fs::exists(s.font, error)) not_installed(s.font, "the emoji of the first style, a font,", "--font FILE");
  if (!fs::exists(s.names + "/annotations/en.xml", error)) not_installed(s.names, "the names of emoji", "--names FOLDER");
  if (!fs::is_directory(s.pngs, error)) not_installed(s.pngs, "the emoji of the second style", "--pngs FOLDER");
  return s;
}

std::string hexadecimal(const std::u32string& code, const char* format) {
  std::string text;
  for (const char32_t c : code) text += (text.empty() ? "" : "-") + fmt::format(fmt::runtime(format), std::uint32_t(c));
  return text;
}

// 1F468-200D-2764.png; some files are named without the joiner, U+200D.
std::optional<emoji::Drawing> read_png(const std::string& folder, std::u32string code) {
  std::string path = folder + "/" + hexadecimal(code, "{:04X}") + ".png";
  std::error_code error;
  if (!fs::exists(path, error)) {
    std::erase(code, U'\u200d');
    path = folder + "/" + hexadecimal(code, "{:04X}") + ".png";
    if (!fs::exists(path, error)) return {};
  }
  const std::string bytes = io::File(path).text(16u << 20);
  std::vector<std::uint8_t> alpha = io::png::decode_alpha(io::png::parse(bytes, {.path = path}, {}), {.path = path});
  return emoji::Drawing{emoji::over_white(io::decode_image(bytes, {.path = path}), alpha), std::move(alpha)};
}

struct Style {
  const char* name;
  Function<std::optional<emoji::Drawing>(const std::u32string&)> draw;
};

// A picture in each style, or none.
std::vector<io::Image> pictures_of(const emoji::Name& name, const std::vector<Style>& styles, Index side) {
  std::vector<io::Image> pictures;
  for (const Style& style : styles) {
    const std::optional<emoji::Drawing> drawing = style.draw(name.code);
    pictures.push_back(drawing ? emoji::squared(*drawing, side) : io::Image{});
    if (pictures.back().width == 0) return {};
  }
  return pictures;
}

}  // namespace

void data_emoji(const DataEmojiOptions& o) {
  const Sources sources = find_sources(o);
  const emoji::Font font(sources.font);
  const std::vector<emoji::Name> names = emoji::read_names(sources.names);
  DataFolder folder(o.out, o.force);
  const std::vector<Style> styles = {{"noto", [&](const std::u32string& code) { return font.draw(code); }},
                                     {"emojione", [&](const std::u32string& code) { return read_png(sources.pngs, code); }}};
  Progress progress("drawing", Index(names.size()));
  Index seen = 0, training = 0, held_out = 0;
  for (const emoji::Name& name : names) {
    stop_if_interrupted();
    const std::vector<io::Image> pictures = pictures_of(name, styles, o.side);
    const bool held = is_held_out(name.text);
    if (!pictures.empty()) ++(held ? held_out : training);
    const auto file = [&](std::size_t style) { return fmt::format("{}/{}.png", styles[style].name, hexadecimal(name.code, "{:04x}")); };
    for (std::size_t i = 0; i < pictures.size(); ++i)
      folder.add({.picture = file(i), .loser = i == 0 ? file(1) : "", .text = name.text, .keywords = name.keywords,
                  .fields = {{"name", name.text}, {"split", held ? "held-out" : "train"}, {"style", styles[i].name}, {"theme", name.theme ? "yes" : "no"},
                             {"quarter", std::to_string(quarter_of(name.text))}}},
                 pictures[i]);
    progress.update(++seen, name.text);
  }
  const std::string digest = folder.finish(), out = io::printable(o.out, 4096);
  const Index count = training + held_out;
  if (o.json)
    fmt::print("{}\n", io::Json{{"out", out}, {"names", count}, {"train", training}, {"held_out", held_out}, {"samples", 2 * count}, {"side", o.side},
                                {"sha256", digest}}.dump());
  else
    fmt::print(stderr, "{}: {} names in two styles, {} for training, {} held out\nsha256    {}\n", out, count, training, held_out, digest);
}

}  // namespace sspo::cli
