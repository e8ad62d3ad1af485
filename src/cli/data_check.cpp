#include <fmt/format.h>

#include <map>
#include <set>

#include "cli/data.hpp"
#include "cli/inspection.hpp"
#include "cli/progress.hpp"
#include "cli/signals.hpp"
#include "io/json.hpp"
#include "sspo/io/dataset.hpp"

namespace sspo::cli {
namespace {

using Counts = std::map<std::string, Index>;

struct Census {
  Index samples = 0, pairs = 0, empty_captions = 0, pictures = 0;
  Counts formats, splits, styles;

  void add(const io::Row& row) {
    ++samples, pairs += !row.loser.empty(), empty_captions += row.text.empty();
    if (const std::string_view split = row.field("split"); !split.empty()) ++splits[std::string(split)];
    if (const std::string_view style = row.field("style"); !style.empty()) ++styles[std::string(style)];
  }
};

// A picture that several samples name is decoded once.
class Pictures {
 public:
  Pictures(const io::Dataset& data, Census& census) : data_(data), census_(census) {}

  void check(const io::Row& row) {
    for (const bool loser : {false, true}) {
      const std::string& name = loser ? row.loser : row.picture;
      const bool file = !data_.stored;  // its name says which; in shards each is another
      if (name.empty() || (file && good_.count(name))) continue;
      loser ? io::read_loser(data_, row) : io::read_picture(data_, row);
      if (file) good_.insert(name);
      ++census_.pictures, ++census_.formats[io::image_info(io::picture_bytes(data_, row, loser), io::picture_place(data_, row, loser)).format];
    }
  }

 private:
  const io::Dataset& data_;
  Census& census_;
  std::set<std::string> good_;
};

const char* captions_in(const io::Dataset& data) {
  if (data.kind == io::DataKind::parquet) return "in Parquet";
  if (data.kind == io::DataKind::webdataset) return "in tars";
  return data.metadata.empty() ? "beside the pictures" : "metadata.jsonl";
}

io::Json json_of(const Counts& counts) {
  io::Json object = io::Json::object();
  for (const auto& [name, count] : counts) object[name] = count;
  return object;
}

std::string text_of(const char* what, const Counts& counts) {
  std::string line;
  for (const auto& [name, count] : counts) line += fmt::format("{}{} {}", line.empty() ? "" : ", ", count, io::printable(name));
  return line.empty() ? "" : fmt::format("{:<9} {}\n", what, line);
}

Inspection checked(const std::string& path, Index skip_bad) {
  io::Json errors = io::Json::array();
  io::BadSamples bad(skip_bad, [&](const Error& e) {
    fmt::print(stderr, "skipped: {}\n", io::printable(e.what(), 1u << 20));
    errors.push_back(io::printable(e.what(), 1u << 20));
  });
  const io::Dataset data = io::open_dataset(path, bad);
  Census census;
  Pictures pictures(data, census);
  Progress progress("checking", Index(data.rows.size()));
  Index done = 0;
  for (const io::Row& row : data.rows) {
    stop_if_interrupted();
    try {
      pictures.check(row);
      census.add(row);
    } catch (const Error& e) {
      bad.met(e);
    }
    progress.update(++done, io::printable(row.text.substr(0, 60)));
  }
  Inspection r;
  r.json = {{"kind", "data set"}, {"path", io::printable(path, 4096)}, {"layout", layout_name(data.kind)}, {"captions", captions_in(data)},
            {"samples", census.samples}, {"bad", bad.count()}, {"pairs", census.pairs}, {"ties", data.ties}, {"links", data.links}, {"empty_captions", census.empty_captions},
            {"pictures", census.pictures}, {"formats", json_of(census.formats)}, {"splits", json_of(census.splits)}, {"styles", json_of(census.styles)},
            {"errors", errors}};
  r.text = fmt::format("{} samples{}{}{}{}{}\n", census.samples, census.pairs ? fmt::format(", {} preference pairs", census.pairs) : "",
                       data.ties ? fmt::format(", {} ties dropped", data.ties) : "", data.links ? fmt::format(", {} links and devices passed over", data.links) : "",
                       census.empty_captions ? fmt::format(", {} without words", census.empty_captions) : "", bad.count() ? fmt::format(", {} bad ones skipped", bad.count()) : "");
  r.text += text_of("pictures", census.formats) + text_of("splits", census.splits) + text_of("styles", census.styles);
  return r;
}

}  // namespace

const char* layout_name(io::DataKind kind) { return kind == io::DataKind::parquet ? "parquet" : kind == io::DataKind::webdataset ? "webdataset" : "imagefolder"; }

void data_check(const DataCheckOptions& o) {
  const Inspection found = checked(o.path, o.skip_bad);
  if (o.json) fmt::print("{}\n", found.json.dump(2));
  else fmt::print("{}", found.text);
}

Inspection inspect_dataset(const std::string& path) {
  Inspection found = checked(path, 0);
  found.text = io::printable(path, 4096) + ": data set, " + found.text;
  return found;
}

}  // namespace sspo::cli
