#include "cli/train_data.hpp"

#include <filesystem>
#include <memory>

#include "cli/where.hpp"
#include "sspo/eval/scenes.hpp"
#include "sspo/io/dataset.hpp"
#include "sspo/io/hash.hpp"

namespace sspo::cli {
namespace {

TrainData scenes_data(const Recipe& r) {
  TrainData data;
  const Rng rng = Rng(std::uint64_t(r.integer("data.seed"))) / "shapes";  // those that sspo data shapes draws
  for (Index i = 0; i < r.integer("data.count"); ++i) data.captions.push_back(scenes::caption_of(scenes::random_scene(rng / i)));
  data.keywords.resize(data.captions.size());
  data.texts = data.captions;
  data.picture = [rng](Index i, Index side) { return scenes::draw_scene(scenes::random_scene(rng / i), side); };
  return data;
}

TrainData folder_data(const Recipe& r, const Where& where, const std::function<void(const std::string&)>& say, bool decode) {
  io::BadSamples bad(r.integer("data.skip_bad"), [say](const Error& e) { say(std::string("passed over: ") + e.what()); });
  const auto data = std::make_shared<io::Dataset>(io::open_dataset(r.text("data.path"), bad));
  auto rows = std::make_shared<std::vector<io::Row>>();
  if (data->ties) say(std::to_string(data->ties) + " pairs that nobody won were dropped, " + std::to_string(data->rows.size()) + " samples are left");
  if (data->links) say(std::to_string(data->links) + " links and devices in tars were passed over");
  TrainData result;
  const std::size_t all = data->rows.size();
  for (io::Row& row : data->rows) {
    result.texts.push_back(row.text);
    result.texts.insert(result.texts.end(), row.keywords.begin(), row.keywords.end());
    if (!where.holds(row)) continue;
    if (decode || r.integer("data.skip_bad") > 0) {  // those that cannot be decoded must be known before the rows are counted
      try {
        io::read_picture(*data, row);
        if (!row.loser.empty()) io::read_loser(*data, row);
      } catch (const Error& e) {
        bad.met(e);
        continue;
      }
    }
    rows->push_back(std::move(row));
  }
  data->rows = {};  // a million of them are not kept twice
  if (rows->empty()) r.wrong("data.where", "no row of the data set is so", {}, std::to_string(all) + " rows");
  io::Sha256 hash;  // what a cache of latents is known by: the same pictures, in the same order
  hash.add(data->digest);
  result.pairs = true;
  for (const io::Row& row : *rows) {
    result.captions.push_back(row.text);
    result.keywords.push_back(row.keywords);
    result.pairs = result.pairs && !row.loser.empty();
    if (data->stored) {
      hash.add(std::to_string(row.line) + " " + row.picture + " " + row.loser + "\n");
      continue;
    }
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

Where where_of(const Recipe& r, std::string_view key) { return r.has(key) ? Where(r.value(key).get<std::vector<std::string>>(), r.place(key)) : Where(); }

TrainData open_train_data(const Recipe& r, const std::function<void(const std::string&)>& say, TrainDataOptions o) {
  TrainData data = r.text("data.kind") == "shapes" ? scenes_data(r) : folder_data(r, where_of(r, o.where), say, o.decode);
  io::Sha256 hash;
  hash.add(data.digest);
  for (const std::vector<std::string>* texts : {&data.captions, &data.texts})
    for (const std::string& text : *texts) hash.add(std::to_string(text.size()) + ":" + text);
  data.digest = hash.hex();
  return data;
}

}  // namespace sspo::cli
