// Data sets in Parquet: Pick-a-Pic's columns, or a picture and a text a row. Listed are captions, labels and a few fields; pictures stay
// in the files, read one at a time through the page that holds them.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <mutex>

#include "io/dataset.hpp"
#include "io/text.hpp"
#include "sspo/io/hash.hpp"
#include "sspo/io/parquet.hpp"

namespace sspo::io {
namespace {

constexpr std::uint64_t most_unpacked = std::uint64_t(2) << 30;  // bytes of pages for captions and labels

// Which columns are read, by number; -1: there is none.
struct Columns {
  int caption = -1, has_label = -1;
  int pictures[2] = {-1, -1}, labels[2] = {-1, -1};
  std::vector<int> fields;
  bool pairs() const { return pictures[1] >= 0; }
};

std::string columns_text(const ParquetTable& table) {
  std::string text;
  for (const ParquetColumn& c : table.columns) text += (text.empty() ? "" : ", ") + c.name;
  return text.empty() ? "no column" : text;
}

int typed(const ParquetTable& table, std::initializer_list<const char*> names, bool number, const Place& place) {
  for (const char* name : names) {
    const int i = table.find(name);
    if (i < 0) continue;
    const ParquetColumn& c = table.columns[std::size_t(i)];
    const bool bytes = c.type == ParquetType::bytes, odd = c.type == ParquetType::int96 || c.type == ParquetType::fixed_bytes;
    if (c.repeated) bad_file(place.in(c.name), "the column is inside a list or a map", "a value for each row");
    if (odd || bytes == number) bad_file(place.in(c.name), "wrong type of a column", number ? "a number" : "BYTE_ARRAY", std::string(name_of(c.type)));
    return i;
  }
  return -1;
}

Columns columns_of(const ParquetTable& table, const Place& place) {
  Columns c;
  const auto need = [&](int column, const char* name) {
    if (column < 0) bad_file(place.in(name), "there is no such column", {}, columns_text(table));
    return column;
  };
  if (table.find("jpg_0") >= 0 || table.find("jpg_1") >= 0 || table.find("label_0") >= 0) {  // Pick-a-Pic
    for (int i = 0; i < 2; ++i) {
      const std::string picture = "jpg_" + std::to_string(i), label = "label_" + std::to_string(i);
      c.pictures[i] = need(typed(table, {picture.c_str()}, false, place), picture.c_str());
      c.labels[i] = need(typed(table, {label.c_str()}, true, place), label.c_str());
    }
    c.has_label = typed(table, {"has_label"}, true, place);
  } else {
    c.pictures[0] = typed(table, {"image.bytes", "image", "jpg.bytes", "jpg", "png.bytes", "png"}, false, place);
    if (c.pictures[0] < 0) bad_file(place, "there are no pictures", "columns jpg_0, jpg_1, label_0 and label_1, or image", columns_text(table));
  }
  c.caption = typed(table, {"caption", "text"}, false, place);
  if (c.caption < 0) bad_file(place, "there are no captions", "a column caption or text", columns_text(table));
  for (const char* field : {"split", "style", "name"})
    if (const int i = typed(table, {field}, false, place); i >= 0) c.fields.push_back(i);
  return c;
}

// "train" of train-00000-of-00645-b66ac786.parquet; what Hugging Face calls shards by.
std::string split_of(const std::string& name) {
  const std::size_t dash = name.find('-');
  if (dash == 0 || dash == name.npos) return {};
  std::size_t end = dash + 1;
  while (end < name.size() && name[end] >= '0' && name[end] <= '9') ++end;
  return end > dash + 1 && name.compare(end, 4, "-of-") == 0 ? name.substr(0, dash) : "";
}

struct Shard {
  std::string path;
  std::uint64_t size;
  ParquetTable table;
};

// Pictures by number of row, counted over all shards.
class ParquetPictures {
 public:
  void add(Shard shard) {
    std::uint64_t in_shard = 0;
    for (std::size_t g = 0; g < shard.table.groups.size(); ++g) {
      const std::uint64_t rows = shard.table.groups[g].rows;
      if (rows) groups_.push_back({rows_, shards_.size(), g, in_shard});
      rows_ += rows, in_shard += rows;
    }
    shards_.push_back(std::move(shard));
  }

  Place place(std::uint64_t row, const std::string& column) const {
    const Group& g = group_of(row);
    return {.path = shards_[g.shard].path + ":" + std::to_string(g.first_in_shard + row - g.first + 1), .field = column};  // bytes are counted in the picture
  }

  std::string bytes(std::uint64_t row, const std::string& column) {
    const std::lock_guard lock(guard_);
    const Group& g = group_of(row);
    const ParquetValue v = open(g, column).at(row - g.first);
    if (v.null || v.bytes.empty()) bad_file(place(row, column), "there is no picture", "the bytes of one", v.null ? "null" : "none");
    return std::string(v.bytes);
  }

 private:
  struct Group {
    std::uint64_t first;
    std::size_t shard, group;
    std::uint64_t first_in_shard;
  };
  struct Open {
    std::size_t shard, group;
    std::string column;
    std::unique_ptr<File> file;
    ParquetValues values;
  };

  const Group& group_of(std::uint64_t row) const {
    return *(std::upper_bound(groups_.begin(), groups_.end(), row, [](std::uint64_t r, const Group& g) { return r < g.first; }) - 1);
  }

  // Winners and losers in turn go through two columns of a row group: these two stay.
  ParquetValues& open(const Group& g, const std::string& column) {
    const auto known = std::find_if(open_.begin(), open_.end(), [&](const std::unique_ptr<Open>& o) { return o->shard == g.shard && o->group == g.group && o->column == column; });
    if (known != open_.end()) {
      std::rotate(open_.begin(), known, known + 1);
      return open_.front()->values;
    }
    const Shard& shard = shards_[g.shard];
    auto file = std::make_unique<File>(shard.path);
    if (file->size() != shard.size) bad_file({.path = shard.path}, "the file has changed since it was opened", std::to_string(shard.size) + " bytes", std::to_string(file->size()));
    if (open_.size() == 2) open_.pop_back();
    ParquetValues values(source_of(*file), shard.table, shard.table.find(column), g.group, {.path = shard.path});
    open_.insert(open_.begin(), std::make_unique<Open>(Open{g.shard, g.group, column, std::move(file), std::move(values)}));
    return open_.front()->values;
  }

  std::vector<Shard> shards_;
  std::vector<Group> groups_;
  std::uint64_t rows_ = 0;
  std::mutex guard_;
  std::vector<std::unique_ptr<Open>> open_;
};

class Listing {
 public:
  Listing(BadSamples& bad, Dataset& data) : bad_(bad), data_(data) {}

  void add(const std::string& path) {
    const File file(path);
    const Place place{.path = path};
    const std::string name = std::filesystem::path(path).filename().string();
    ParquetTable table = read_parquet(source_of(file), place);
    const Columns columns = columns_of(table, place);
    split_ = split_of(name);
    make_room(data_.rows, table.rows);
    std::uint64_t in_shard = 0;
    for (std::size_t g = 0; g < table.groups.size(); in_shard += table.groups[g++].rows) add_group(source_of(file), table, columns, g, in_shard, place);
    hash_.add(name + " " + std::to_string(file.size()) + " " + table.digest + "\n");
    pictures_->add({path, file.size(), std::move(table)});
  }

  void finish() {
    data_.digest = hash_.hex();
    data_.stored = [pictures = pictures_](const Row& row, bool loser) { return pictures->bytes(row.line - 1, loser ? row.loser : row.picture); };
    data_.where = [pictures = pictures_](const Row& row, bool loser) { return pictures->place(row.line - 1, loser ? row.loser : row.picture); };
  }

 private:
  void add_group(const ByteSource& file, const ParquetTable& table, const Columns& c, std::size_t group, std::uint64_t in_shard, const Place& place) {
    std::vector<ParquetValues> values;
    for (const int column : {c.caption, c.labels[0], c.labels[1], c.has_label})
      if (column >= 0) values.emplace_back(file, table, column, group, place);
    for (const int column : c.fields) values.emplace_back(file, table, column, group, place);
    std::uint64_t before = unpacked_;
    for (std::uint64_t i = 0; i < table.groups[group].rows; ++i) {
      ++number_;
      std::vector<ParquetValue>& now = now_;
      now.clear();
      unpacked_ = before;
      for (ParquetValues& v : values) {  // what is wrong here is the file, not a sample
        now.push_back(v.at(i));
        unpacked_ += v.unpacked();
      }
      if (unpacked_ > most_unpacked) bad_file(place, "captions and labels are too large", "pages of at most " + std::to_string(most_unpacked) + " bytes");
      Place here = place;
      here.at = ":" + std::to_string(in_shard + i + 1);
      try {
        add_row(table, c, here);
      } catch (const Error& error) {
        bad_.met(error);
      }
    }
  }

  void add_row(const ParquetTable& table, const Columns& c, const Place& here) {
    const auto name = [&](int column) -> const std::string& { return table.columns[std::size_t(column)].name; };
    std::size_t at = 1;
    int winner = 0;
    if (c.pairs()) {
      double label[2];
      for (int i = 0; i < 2; ++i) label[i] = label_of(now_[at++], here.in(name(c.labels[i])));
      const bool labelled = c.has_label < 0 || (!now_[at].null && now_[at].number != 0);
      at += c.has_label >= 0;
      if (!labelled || label[0] == label[1]) return void(++data_.ties);
      winner = winner_of(label[0], label[1], here);
    }
    Row row{.picture = name(c.pictures[winner]), .text = caption_of(now_[0], here.in(name(c.caption))), .line = number_};
    if (c.pairs()) row.loser = name(c.pictures[1 - winner]);
    for (const int column : c.fields)
      if (const ParquetValue& v = now_[at++]; !v.null) row.fields[name(column)] = utf8(v.bytes, here.in(name(column)));
    if (!split_.empty()) row.fields.emplace("split", split_);
    memory_.add(row, here);
    data_.rows.push_back(std::move(row));
  }

  static double label_of(const ParquetValue& v, const Place& place) {
    if (v.null) bad_file(place, "there is no label", "1, 0 or 0.5", "null");
    return v.number;
  }
  static std::string utf8(std::string_view text, const Place& place) {
    const std::size_t bad = std::min(find_bad_utf8(text), text.find('\0'));
    if (bad != text.npos) bad_file(place, "not UTF-8", "a text", std::string(text.substr(bad, 4)));
    if (text.size() > longest_caption) bad_file(place, "the text is too long", "at most " + std::to_string(longest_caption) + " bytes", std::to_string(text.size()));
    return std::string(text);
  }
  static std::string caption_of(const ParquetValue& v, const Place& place) {
    if (v.null) bad_file(place, "there is no caption", "a text", "null");
    return utf8(v.bytes, place);
  }

  BadSamples& bad_;
  Dataset& data_;
  std::shared_ptr<ParquetPictures> pictures_ = std::make_shared<ParquetPictures>();
  RowMemory memory_{most_shard_memory};
  Sha256 hash_;
  std::string split_;
  std::vector<ParquetValue> now_;  // of the row: caption, labels, has_label, fields
  std::uint64_t number_ = 0, unpacked_ = 0;
};

}  // namespace

int winner_of(double label_0, double label_1, const Place& place) {
  const bool first = label_0 == 1 && label_1 == 0, second = label_0 == 0 && label_1 == 1;
  if (!first && !second) bad_file(place, "the labels name no winner", "1 and 0, 0 and 1, or twice the same for a tie", std::to_string(label_0) + " and " + std::to_string(label_1));
  return second;
}

Dataset open_parquet(const std::string& folder, const std::vector<std::string>& shards, BadSamples& bad) {
  Dataset data{.folder = folder, .metadata = {}, .rows = {}, .kind = DataKind::parquet};
  Listing listing(bad, data);
  for (const std::string& shard : shards) listing.add(shard);
  listing.finish();
  return data;
}

}  // namespace sspo::io
