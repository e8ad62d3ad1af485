#include <fmt/format.h>

#include <map>
#include <set>

#include "cli/data.hpp"
#include "cli/data_folder.hpp"
#include "cli/progress.hpp"
#include "cli/signals.hpp"
#include "io/json.hpp"
#include "sspo/eval/scenes.hpp"

namespace sspo::cli {
namespace {

void make(const DataShapesOptions& o) {
  DataFolder folder(o.out, o.force);
  Progress progress("drawing", o.count);
  Index samples = 0, held_out = 0;
  std::set<std::string> seen;
  for (Index i = 0; i < o.count; ++i) {
    stop_if_interrupted();
    const scenes::Scene scene = scenes::random_scene(Rng(o.seed) / "shapes" / i);
    const std::string text = scenes::caption_of(scene), file = fmt::format("{:06}.png", i);
    const bool held = is_held_out(text);
    const auto add = [&](const std::string& picture, const std::string& loser, std::map<std::string, std::string> fields, scenes::Drawing drawing) {
      fields["split"] = held ? "held-out" : "train";
      folder.add({.picture = picture, .loser = loser, .text = text, .fields = std::move(fields)}, scenes::draw_scene(scene, o.side, drawing));
      ++samples, held_out += held;
    };
    if (!o.styles) {
      add(file, "", {}, scenes::Drawing::filled);
    } else if (seen.insert(text).second) {
      const std::map<std::string, std::string> fields{{"name", text}, {"theme", "yes"}, {"quarter", std::to_string(quarter_of(text))}};
      const auto with = [&](const char* style) { auto all = fields; all["style"] = style; return all; };
      add("filled/" + file, "hollow/" + file, with("filled"), scenes::Drawing::filled);
      add("hollow/" + file, "", with("hollow"), scenes::Drawing::hollow);
    }
    progress.update(i + 1, text);
  }
  const std::string digest = folder.finish();
  if (o.json)
    fmt::print("{}\n", io::Json{{"out", io::printable(o.out, 4096)}, {"samples", samples}, {"train", samples - held_out}, {"held_out", held_out}, {"side", o.side}, {"seed", o.seed}, {"sha256", digest}}.dump());
  else
    fmt::print(stderr, "{}: {} pictures, {} of them held out, seed {}\nsha256    {}\n", io::printable(o.out, 4096), samples, held_out, o.seed, digest);
}

scenes::Claim claim_of(const io::Dataset& data, const io::Row& row) {
  try {
    return scenes::parse_claim(row.text);
  } catch (const Error& e) {
    const bool listed = row.line > 0 && !data.stored;
    io::Place place = listed ? io::Place{.path = data.metadata, .at = fmt::format(":{}", row.line)} : io::picture_place(data, row);
    place.field = listed ? "text" : "caption";
    io::bad_file(place, "no caption of such a scene: " + e.info().what, e.info().expected, e.info().got);
  }
}

void judge(const DataShapesOptions& o) {
  const io::Dataset data = io::open_dataset(o.judge);
  Index right = 0;
  io::Json wrong = io::Json::array();
  for (const io::Row& row : data.rows) {
    stop_if_interrupted();
    const scenes::Verdict v = scenes::judge(io::read_picture(data, row), claim_of(data, row));
    right += v.holds;
    if (v.holds) continue;
    if (o.json) wrong.push_back({{"file_name", row.picture}, {"text", row.text}, {"why", v.why}});
    else fmt::print("{}: not {}: {}\n", io::printable(row.picture), io::printable(row.text), v.why);
  }
  if (o.json) fmt::print("{}\n", io::Json{{"samples", data.rows.size()}, {"right", right}, {"wrong", wrong}}.dump(2));
  else fmt::print("{} of {} pictures show their captions\n", right, data.rows.size());
}

}  // namespace

namespace {
unsigned long digits_of(const std::string& caption, std::size_t first) { return std::stoul(io::sha256_hex(std::string_view(caption)).substr(first, 8), nullptr, 16); }
}  // namespace

bool is_held_out(const std::string& caption) { return digits_of(caption, 0) % 10 == 0; }
int quarter_of(const std::string& caption) { return is_held_out(caption) ? 0 : 1 + int(digits_of(caption, 8) % 4); }

void data_shapes(const DataShapesOptions& o) { o.judge.empty() ? make(o) : judge(o); }

}  // namespace sspo::cli
