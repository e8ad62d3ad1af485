#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "cli/data.hpp"
#include "cli/files.hpp"
#include "cli/output_folder.hpp"
#include "cli/progress.hpp"
#include "cli/signals.hpp"
#include "io/calls.hpp"
#include "io/json.hpp"
#include "sspo/io/tar.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

constexpr Index in_a_folder = 10'000;  // pictures

struct Sample {
  const io::Row& row;
  std::string picture, loser;              // bytes
  std::string picture_ending, loser_ending;  // "jpg", by content
};

std::string ending_of(std::string_view bytes, const io::Place& place) {
  const std::string format = io::image_info(bytes, place).format;
  return format == "JPEG" ? "jpg" : format == "WebP" ? "webp" : "png";
}

Sample read_sample(const io::Dataset& data, const io::Row& row) {
  Sample s{row, io::picture_bytes(data, row), {}, {}, {}};
  s.picture_ending = ending_of(s.picture, io::picture_place(data, row));
  if (row.loser.empty()) return s;
  s.loser = io::picture_bytes(data, row, true);
  s.loser_ending = ending_of(s.loser, io::picture_place(data, row, true));
  return s;
}

// 00000/000000012.jpg, and 00000/000000012_loser.jpg of a pair; metadata.jsonl makes it whole.
class FolderWriter {
 public:
  explicit FolderWriter(const DataConvertOptions& o) : folder_(o.to, o.force) {}

  void add(const Sample& s) {
    const std::string inner = fmt::format("{:05}", count_ / in_a_folder), name = fmt::format("{}/{:09}", inner, count_);
    if (count_ % in_a_folder == 0) make_output_folder(folder_ / inner, false);
    ++count_;
    io::Row row = s.row;
    row.picture = name + "." + s.picture_ending;
    row.loser = s.loser.empty() ? "" : name + "_loser." + s.loser_ending;
    metadata_ += io::metadata_line(row);
    write(row.picture, s.picture);
    if (!s.loser.empty()) write(row.loser, s.loser);
  }
  Index finish() {
    io::write_file(folder_ / "metadata.jsonl", metadata_);
    folder_.finish();
    return 0;
  }

 private:
  // Not synced: all are, at the end.
  void write(const std::string& name, const std::string& bytes) {
    const std::string path = folder_ / name;
    if (const int reason = io::write_unsynced(path, bytes)) fail({.op = io::printable(path, 4096), .what = "cannot be written: " + std::generic_category().message(reason), .kind = ErrorKind::io}, Site{});
  }

  OutputFolder folder_;
  std::string metadata_;
  Index count_ = 0;
};

// A caption's file is read with its line breaks as blanks and none around it: others stand in json.
bool survives_as_file(const std::string& text) {
  return text.find_first_of(std::string_view("\n\r\t\0", 4)) == text.npos && !text.starts_with(' ') && !text.ends_with(' ') && !text.starts_with("\xEF\xBB\xBF");
}

// NAME/shard-000000.tar and so on, or NAME.tar alone.
class TarsWriter {
 public:
  explicit TarsWriter(const DataConvertOptions& o) : o_(o) {
    if (o.to.ends_with(".tar")) check_output(o.to, o.force), tar_.emplace(o.to);
    else folder_.emplace(o.to, o.force);
  }

  void add(const Sample& s) {
    if (folder_ && count_ % o_.shard_size == 0) next_shard();
    const std::string key = fmt::format("{:09}", count_++);
    const bool pair = !s.loser.empty(), plain = survives_as_file(s.row.text);
    io::Json json = io::Json::parse(io::metadata_line(s.row));
    json.erase("file_name"), json.erase("loser_file_name");
    if (plain && !json.contains("caption")) json.erase("text");  // beside text, caption is a field of its own
    if (pair) json["label_0"] = 1, json["label_1"] = 0;
    tar_->write(io::tar_member(key + "." + s.picture_ending + (pair ? "_0" : ""), s.picture));
    if (pair) tar_->write(io::tar_member(key + "." + s.loser_ending + "_1", s.loser));
    if (plain) tar_->write(io::tar_member(key + ".txt", s.row.text));
    if (!json.empty()) tar_->write(io::tar_member(key + ".json", json.dump()));
  }
  Index finish() {
    end_shard();
    if (folder_) folder_->finish();
    return shards_;
  }

 private:
  void next_shard() {
    end_shard();
    tar_.emplace(*folder_ / fmt::format("shard-{:06}.tar", shards_));
  }
  void end_shard() {
    if (!tar_) return;
    tar_->write(io::tar_end());
    tar_->finish();
    tar_.reset();
    ++shards_;
  }

  const DataConvertOptions& o_;
  std::optional<OutputFolder> folder_;
  std::optional<io::FileWriter> tar_;
  Index count_ = 0, shards_ = 0;
};

struct Counts {
  Index samples = 0, pairs = 0, bad = 0, ties = 0, shards = 0;
};

template <class Writer>
Counts convert_to(const DataConvertOptions& o) {
  Counts counts;
  io::BadSamples bad(o.skip_bad, [](const Error& e) { fmt::print(stderr, "skipped: {}\n", io::printable(e.what(), 1u << 20)); });
  const io::Dataset data = io::open_dataset(o.from, bad);
  Writer writer(o);
  Progress progress("converting", Index(data.rows.size()));
  Index done = 0;
  for (const io::Row& row : data.rows) {
    stop_if_interrupted();
    std::optional<Sample> sample;
    try {
      sample.emplace(read_sample(data, row));
    } catch (const Error& e) {
      bad.met(e);
    }
    if (sample) writer.add(*sample), ++counts.samples, counts.pairs += !row.loser.empty();
    progress.update(++done, io::printable(row.text.substr(0, 60)));
  }
  if (counts.samples == 0) io::bad_file({.path = o.from}, "no sample", "one or more", std::to_string(bad.count()) + " bad ones");
  counts.shards = writer.finish();
  counts.bad = bad.count(), counts.ties = data.ties;
  return counts;
}

}  // namespace

void data_convert(const DataConvertOptions& o) {
  const bool tars = o.layout == "webdataset" || (o.layout.empty() && o.to.ends_with(".tar"));
  std::error_code ignored;
  if (fs::equivalent(o.from, o.to, ignored)) fail({.op = io::printable(o.to, 4096), .what = "is what is converted", .expected = "another place"}, Site{});
  const Counts c = tars ? convert_to<TarsWriter>(o) : convert_to<FolderWriter>(o);
  const char* layout = layout_name(tars ? io::DataKind::webdataset : io::DataKind::imagefolder);
  if (o.json) {
    fmt::print("{}\n", io::Json{{"out", io::printable(o.to, 4096)}, {"layout", layout}, {"samples", c.samples}, {"pairs", c.pairs}, {"ties", c.ties}, {"bad", c.bad}, {"shards", c.shards}}.dump());
    return;
  }
  fmt::print(stderr, "{} ({}): {} samples{}{}{}{}\n", io::printable(o.to, 4096), layout, c.samples, c.pairs ? fmt::format(", {} preference pairs", c.pairs) : "",
             c.ties ? fmt::format(", {} ties dropped", c.ties) : "", c.bad ? fmt::format(", {} bad ones skipped", c.bad) : "", c.shards ? fmt::format(", {} tars", c.shards) : "");
}

}  // namespace sspo::cli
