#include "cli/train_data.hpp"

#include <filesystem>
#include <memory>

#include "sspo/eval/scenes.hpp"
#include "sspo/io/dataset.hpp"
#include "sspo/io/hash.hpp"

namespace sspo::cli {
namespace {

TrainData scenes_data(const Recipe& r) {
  TrainData data;
  const Rng rng = Rng(std::uint64_t(r.integer("data.seed"))) / "shapes";  // those that sspo data shapes draws
  for (Index i = 0; i < r.integer("data.count"); ++i) data.captions.push_back(scenes::caption_of(scenes::random_scene(rng / i)));
  data.picture = [rng](Index i, Index side) { return scenes::draw_scene(scenes::random_scene(rng / i), side); };
  return data;
}

TrainData folder_data(const Recipe& r, const std::string& split, const std::function<void(const std::string&)>& say) {
  io::BadSamples bad(r.integer("data.skip_bad"), [say](const Error& e) { say(std::string("passed over: ") + e.what()); });
  const auto data = std::make_shared<io::Dataset>(io::open_dataset(r.text("data.path"), bad));
  const std::string style = r.text("data.style");
  auto rows = std::make_shared<std::vector<io::Row>>();
  for (const io::Row& row : data->rows) {
    if ((!split.empty() && row.field("split") != split) || (!style.empty() && row.field("style") != style)) continue;
    if (r.integer("data.skip_bad") > 0) {  // those that cannot be decoded must be known before the rows are counted
      try {
        io::read_picture(*data, row);
        if (!row.loser.empty()) io::read_loser(*data, row);
      } catch (const Error& e) {
        bad.met(e);
        continue;
      }
    }
    rows->push_back(row);
  }
  if (rows->empty()) r.wrong(!split.empty() ? "data.split" : "data.style", "no row of the data set has it", {}, std::to_string(data->rows.size()) + " rows");
  TrainData result;
  io::Sha256 hash;
  result.pairs = true;
  for (const io::Row& row : *rows) {
    result.captions.push_back(row.text);
    result.pairs = result.pairs && !row.loser.empty();
    for (const std::string& name : {row.picture, row.loser}) {
      std::error_code none;
      hash.add(name + "\n" + std::to_string(name.empty() ? 0 : std::filesystem::file_size(data->folder + "/" + name, none)) + "\n");
    }
  }
  result.digest = hash.hex();
  result.rows = *rows;
  const auto options = [](Index side) { return io::PictureOptions{.width = side, .height = side}; };
  result.picture = [=](Index i, Index side) { return io::read_picture(*data, (*rows)[std::size_t(i)], options(side)); };
  result.loser = [=](Index i, Index side) { return io::read_loser(*data, (*rows)[std::size_t(i)], options(side)); };
  return result;
}

}  // namespace

TrainData open_train_data(const Recipe& r, const std::function<void(const std::string&)>& say) {
  return open_split(r, r.text("data.kind") == "shapes" ? "" : r.text("data.split"), say);
}

TrainData open_split(const Recipe& r, const std::string& split, const std::function<void(const std::string&)>& say) {
  TrainData data = r.text("data.kind") == "shapes" ? scenes_data(r) : folder_data(r, split, say);
  io::Sha256 hash;
  hash.add(data.digest);
  for (const std::string& caption : data.captions) hash.add(std::to_string(caption.size()) + ":" + caption);
  data.digest = hash.hex();
  return data;
}

std::vector<std::string> texts_of(const TrainData& data) {
  std::vector<std::string> texts = data.captions;
  for (const io::Row& row : data.rows) texts.insert(texts.end(), row.keywords.begin(), row.keywords.end());
  return texts;
}

}  // namespace sspo::cli
