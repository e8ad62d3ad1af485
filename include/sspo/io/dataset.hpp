// Data sets of captioned pictures: a folder with metadata.jsonl (Hugging Face's imagefolder) or a text beside each picture, Parquet
// (Pick-a-Pic), tars (WebDataset). Which one it is, the content tells (docs/formats.md).
//   const Dataset data = open_dataset("emoji");
//   const Image picture = read_picture(data, data.rows[7], {.width = 32, .height = 32});
// A line of metadata.jsonl:  {"file_name": "train/cat.png", "text": "a cat", "style": "noto", "keywords": ["pet"]}
// and of preference pairs:   {"file_name": "w.png", "loser_file_name": "l.png", "text": "a cat"}
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sspo/base/function.hpp"
#include "sspo/io/image.hpp"

namespace sspo::io {

struct Row {
  std::string picture;                    // "file_name" or "winner_file_name": plain, relative to the data set's folder; a column of Parquet; a member of a tar
  std::string loser = {};                 // "loser_file_name"; empty: no preference pair
  std::string text;                       // "text", or "caption" where that is missing; may be empty
  std::vector<std::string> keywords = {};
  std::map<std::string, std::string> fields = {};  // all others. style, split and name are strings; what is none stands as JSON
  std::uint64_t line = 0;                 // of metadata.jsonl, counted from 1; 0: the caption lies beside the picture. Of shards: their sample, from 1
  std::string_view field(std::string_view name) const;  // "" where it is missing
  friend bool operator==(const Row&, const Row&) = default;
};

// What becomes of samples that are bad: a line that is none, a picture that is missing or damaged.
class BadSamples {
 public:
  // The first `skip` of them are counted and reported, the next one is thrown on.
  explicit BadSamples(Index skip = 0, Function<void(const Error&)> report = {}) : skip_(skip), report_(std::move(report)) {}
  void met(const Error& error);  // errors of the system (ErrorKind::io) are thrown on, too
  Index count() const { return count_; }

 private:
  Index skip_, count_ = 0;
  Function<void(const Error&)> report_;
};

enum class DataKind { imagefolder, parquet, webdataset };

struct Dataset {
  std::string folder;
  std::string metadata;  // PATH of metadata.jsonl; empty: captions lie beside the pictures, or in shards
  std::vector<Row> rows;
  DataKind kind = DataKind::imagefolder;
  // Of shards:
  std::string digest = {};                                         // SHA-256 of their names, sizes, and of where which picture lies
  Index ties = 0;                                                  // pairs that nobody won: they are no rows
  Index links = 0;                                                 // links and devices in tars, passed over
  Function<std::string(const Row&, bool loser)> stored = {};       // a picture's bytes
  Function<Place(const Row&, bool loser)> where = {};              // and where they are
};

// A folder, a .jsonl file whose names are relative to its folder, a Parquet file, a tar; a folder of *.parquet or of *.tar is all of
// them, by name. Without metadata.jsonl: the folder's pictures by name, each with a caption of the same name, cat.png and cat.txt
// (UTF-8, at most 1 MiB; line breaks become blanks). Pictures are not opened yet; of shards, captions, labels and places are in
// memory, pictures are not. Error{file}: none of these, no sample at all, a bad one. A shard that is damaged is no bad sample:
// it is never skipped.
//   Parquet: caption (or text) with jpg_0, jpg_1, label_0, label_1 (has_label), as Pick-a-Pic has them: the picture of label 1
//   is the row's, the other its loser; or with image, the bytes or Hugging Face's struct of bytes and path. Fields: split (or that
//   of train-00000-of-00012.parquet), style, name.
//   Tars: samples by key. jpg, png or webp; or a pair jpg_0, jpg_1 (or 0.jpg, 1.jpg) with label_0, label_1; txt, caption or json.
Dataset open_dataset(const std::string& path, BadSamples& bad);
Dataset open_dataset(const std::string& path);

// The lines of a metadata.jsonl (promise S5). Every name is checked: plain, relative, inside the folder.
std::vector<Row> parse_metadata(std::string_view bytes, const Place& place, BadSamples& bad);
std::string metadata_line(const Row& row);  // with its line break; parse_metadata reads the same. Error{input}: not UTF-8

struct PictureOptions {
  Index width = 0, height = 0;      // 0 and 0: as it is. Else the largest part of these proportions is cut from the centre and resized
  Filter filter = Filter::lanczos;
  ImageLimits limits = {};
};
// RGB, upright. Error{file} names the picture, and the line that names it.
Image read_picture(const Dataset& data, const Row& row, const PictureOptions& options = {});
Image read_loser(const Dataset& data, const Row& row, const PictureOptions& options = {});
// The picture's file as it is, and where it stands: for messages.
std::string picture_bytes(const Dataset& data, const Row& row, bool loser = false);
Place picture_place(const Dataset& data, const Row& row, bool loser = false);

}  // namespace sspo::io
