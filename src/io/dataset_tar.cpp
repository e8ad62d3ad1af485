// Data sets in tars, as the library webdataset has them: members whose names agree up to the first dot of the last part are one
// sample. Listed are captions and fields; pictures stay in the archives, read by their offset.
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_set>

#include "io/dataset.hpp"
#include "io/json.hpp"
#include "io/text.hpp"
#include "sspo/io/hash.hpp"
#include "sspo/io/tar.hpp"

namespace sspo::io {
namespace {

constexpr std::uint64_t longest_json = 1u << 20, longest_label = 64;

struct Shard {
  std::string path;
  std::uint64_t size;
};

struct Stored {
  std::size_t shard;
  std::uint64_t begin, size;
};

class TarPictures {
 public:
  void add_shard(Shard shard) { shards_.push_back(std::move(shard)); }
  std::size_t shards() const { return shards_.size(); }
  std::uint64_t add(const Stored& winner, const Stored& loser) {  // the number of the sample, from 1
    stored_.push_back(winner), stored_.push_back(loser);
    return stored_.size() / 2;
  }

  Place place(const Row& row, bool loser) const {
    return {.path = shards_[of(row, loser).shard].path + "/" + (loser ? row.loser : row.picture)};  // bytes are counted in the picture
  }
  std::string bytes(const Row& row, bool loser) {
    const std::lock_guard lock(guard_);
    const Stored& s = of(row, loser);
    const Shard& shard = shards_[s.shard];
    if (!file_ || open_ != s.shard) {
      File file(shard.path);
      if (file.size() != shard.size) bad_file({.path = shard.path}, "the file has changed since it was opened", std::to_string(shard.size) + " bytes", std::to_string(file.size()));
      file_.emplace(std::move(file)), open_ = s.shard;
    }
    if (s.size > most_picture_bytes) bad_file(place(row, loser), "the picture's file is too large", "at most " + std::to_string(most_picture_bytes) + " bytes", std::to_string(s.size));
    return source_of(*file_).text(s.begin, s.size);
  }

 private:
  const Stored& of(const Row& row, bool loser) const { return stored_.at(std::size_t(2 * (row.line - 1) + loser)); }
  std::vector<Shard> shards_;
  std::vector<Stored> stored_;
  std::mutex guard_;
  std::optional<File> file_;
  std::size_t open_ = 0;
};

// "a/b.jpg_0" is "a/b" and "jpg_0"; what has no dot, or begins with one, is no part of a sample, nor are folders like __meta__.
bool split_name(const std::string& name, std::string& key, std::string& ending) {
  const std::size_t base = name.rfind('/') == name.npos ? 0 : name.rfind('/') + 1, dot = name.find('.', base);
  if (dot == name.npos || dot == base || name.starts_with("__")) return false;
  key = name.substr(0, dot), ending = name.substr(dot + 1);
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
  return true;
}

// 0 or 1 for jpg_0, 1.png and their kin; 2: a picture alone; -1: none.
int picture_slot(std::string_view ending) {
  for (const std::string_view format : {"jpg", "jpeg", "png", "webp"}) {
    if (ending == format) return 2;
    for (const char slot : {'0', '1'})
      if (ending == std::string(format) + "_" + slot || ending == std::string(1, slot) + "." + std::string(format)) return slot - '0';
  }
  return -1;
}

struct Member {
  std::string ending;
  TarMember in_tar;
};

class Listing {
 public:
  Listing(BadSamples& bad, Dataset& data) : bad_(bad), data_(data) {}

  void add(const std::string& path) {
    const File file(path);
    const ByteSource source = source_of(file);
    shard_place_ = {.path = path}, source_ = &source;
    hash_.add(std::filesystem::path(path).filename().string() + " " + std::to_string(file.size()) + "\n");
    make_room(data_.rows, file.size() / (4 * 512));  // two headers, two blocks a sample, at least
    keys_.clear();
    const TarCounts counts = read_tar(source, shard_place_, [this](const TarMember& m) { member(m); });
    flush();
    data_.links += counts.links + counts.devices;
    pictures_->add_shard({path, file.size()});
  }

  void finish() {
    data_.digest = hash_.hex();
    data_.stored = [pictures = pictures_](const Row& row, bool loser) { return pictures->bytes(row, loser); };
    data_.where = [pictures = pictures_](const Row& row, bool loser) { return pictures->place(row, loser); };
  }

 private:
  void member(const TarMember& m) {
    std::string key, ending;
    hash_.add(m.name + "\n" + std::to_string(m.size) + "\n");
    if (!split_name(m.name, key, ending)) return;
    if (key != key_ || members_.empty()) {
      flush();
      keys_bytes_ += key.size() + 64;
      if (keys_bytes_ > most_shard_memory / 4) bad_file(place_of(m), "names are too large", std::to_string(most_shard_memory >> 22) + " MiB in all");
      if (!keys_.insert(key).second)  // or a caption would be another picture's
        bad_file(place_of(m), "the sample's members do not lie together", "all of one key side by side", "\"" + key + "\" again");
      key_ = key;
    }
    if (members_.size() == 64) bad_file(place_of(m), "a sample of too many members", "at most 64");
    members_.push_back({std::move(ending), m});
  }

  void flush() {
    if (members_.empty()) return;
    try {
      sample();
    } catch (const Error& error) {
      members_.clear();
      bad_.met(error);
    }
    members_.clear();
  }

  const TarMember* find(std::initializer_list<std::string_view> endings) const {
    for (const std::string_view ending : endings)
      for (const Member& m : members_)
        if (m.ending == ending) return &m.in_tar;
    return nullptr;
  }
  Place place_of(const TarMember& m) const {
    Place here = shard_place_;
    here.at = "@" + std::to_string(m.begin), here.field = m.name;
    return here;
  }
  std::string text_of(const TarMember& m, std::uint64_t limit) const {
    if (m.size > limit) bad_file(place_of(m), "the member is too large", "at most " + std::to_string(limit) + " bytes", std::to_string(m.size));
    return source_->text(m.begin, m.size);
  }

  void sample() {
    const TarMember* pictures[3] = {};
    for (const Member& m : members_) {
      for (const Member& other : members_)
        if (&other != &m && other.ending == m.ending) bad_file(place_of(m.in_tar), "two members of one name in a sample");
      const int slot = picture_slot(m.ending);
      if (slot < 0) continue;
      if (pictures[slot]) bad_file(place_of(m.in_tar), "two pictures of one sample", "one, or a pair: jpg_0, jpg_1", pictures[slot]->name);
      pictures[slot] = &m.in_tar;
    }
    const Place here = place_of(members_[0].in_tar);
    if (!pictures[2] && !(pictures[0] && pictures[1])) bad_file(here, "the sample has no picture", "jpg, png or webp, or a pair: jpg_0, jpg_1", "\"" + key_ + "\"");
    Row row;
    PairLabels labels;
    bool captioned = false;
    if (const TarMember* json = find({"json"})) captioned = read_sample_json(text_of(*json, longest_json), place_of(*json), row, pictures[2] ? nullptr : &labels);
    if (const TarMember* text = find({"txt", "caption", "text"})) row.text = caption_text(text_of(*text, longest_caption), place_of(*text)), captioned = true;
    if (!captioned) bad_file(here, "the sample has no caption", "txt, caption, or json with text or caption", "\"" + key_ + "\"");
    for (int i = 0; i < 2; ++i)
      if (const TarMember* label = find({i ? "label_1" : "label_0"})) labels.of[i] = number_in(*label);
    int winner = 2;
    if (!pictures[2]) {
      const auto [first, second] = std::pair(labels.of[0], labels.of[1]);
      if (!first || !second) bad_file(here, "the pair has no labels", "label_0 and label_1, members or in json", "\"" + key_ + "\"");
      if (*first == *second) return void(++data_.ties);
      winner = winner_of(*first, *second, here);
      row.loser = pictures[1 - winner]->name;
    }
    row.picture = pictures[winner]->name;
    memory_.add(row, here);
    const TarMember *won = pictures[winner], *lost = winner < 2 ? pictures[1 - winner] : won;
    row.line = pictures_->add({pictures_->shards(), won->begin, won->size}, {pictures_->shards(), lost->begin, lost->size});
    data_.rows.push_back(std::move(row));
  }

  double number_in(const TarMember& m) const {
    std::string text = text_of(m, longest_label);
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) bad_file(place_of(m), "the label is no number", "1, 0 or 0.5", text);
    return value;
  }

  BadSamples& bad_;
  Dataset& data_;
  std::shared_ptr<TarPictures> pictures_ = std::make_shared<TarPictures>();
  RowMemory memory_{most_shard_memory};
  Sha256 hash_;
  Place shard_place_;
  const ByteSource* source_ = nullptr;
  std::string key_;
  std::vector<Member> members_;            // of the sample at hand
  std::unordered_set<std::string> keys_;   // of the shard
  std::size_t keys_bytes_ = 0;
};

}  // namespace

Dataset open_tars(const std::string& folder, const std::vector<std::string>& shards, BadSamples& bad) {
  Dataset data{.folder = folder, .metadata = {}, .rows = {}, .kind = DataKind::webdataset};
  Listing listing(bad, data);
  for (const std::string& shard : shards) listing.add(shard);
  listing.finish();
  return data;
}

}  // namespace sspo::io
