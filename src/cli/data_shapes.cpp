#include <fmt/format.h>

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
  Index held_out = 0;
  for (Index i = 0; i < o.count; ++i) {
    stop_if_interrupted();
    const scenes::Scene scene = scenes::random_scene(Rng(o.seed) / "shapes" / i);
    io::Row row{.picture = fmt::format("{:06}.png", i), .text = scenes::caption_of(scene)};
    held_out += is_held_out(row.text);
    row.fields["split"] = is_held_out(row.text) ? "held-out" : "train";
    folder.add(row, scenes::draw_scene(scene, o.side));
    progress.update(i + 1, row.text);
  }
  const std::string digest = folder.finish();
  if (o.json)
    fmt::print("{}\n", io::Json{{"out", io::printable(o.out, 4096)}, {"samples", o.count}, {"train", o.count - held_out}, {"held_out", held_out}, {"side", o.side}, {"seed", o.seed}, {"sha256", digest}}.dump());
  else
    fmt::print(stderr, "{}: {} scenes, {} of them held out, seed {}\nsha256    {}\n", io::printable(o.out, 4096), o.count, held_out, o.seed, digest);
}

scenes::Claim claim_of(const io::Dataset& data, const io::Row& row) {
  try {
    return scenes::parse_claim(row.text);
  } catch (const Error& e) {
    const bool listed = row.line > 0;
    io::bad_file({.path = listed ? data.metadata : data.folder + "/" + row.picture, .at = listed ? fmt::format(":{}", row.line) : "", .field = listed ? "text" : "caption"},
                 "no caption of such a scene: " + e.info().what, e.info().expected, e.info().got);
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

bool is_held_out(const std::string& caption) { return std::stoul(io::sha256_hex(std::string_view(caption)).substr(0, 8), nullptr, 16) % 10 == 0; }

void data_shapes(const DataShapesOptions& o) { o.judge.empty() ? make(o) : judge(o); }

}  // namespace sspo::cli
