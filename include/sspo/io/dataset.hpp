// Data sets of captioned pictures: a folder with metadata.jsonl (Hugging Face's imagefolder), or a text beside each picture.
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
  std::string picture;                    // "file_name" or "winner_file_name": plain, relative to the data set's folder
  std::string loser = {};                 // "loser_file_name"; empty: no preference pair
  std::string text;                       // "text", or "caption" where that is missing; may be empty
  std::vector<std::string> keywords = {};
  std::map<std::string, std::string> fields = {};  // all others. style, split and name are strings; what is none stands as JSON
  std::uint64_t line = 0;                 // of metadata.jsonl, counted from 1; 0: the caption lies beside the picture
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

struct Dataset {
  std::string folder;
  std::string metadata;  // PATH of metadata.jsonl; empty: captions lie beside the pictures
  std::vector<Row> rows;
};

// A folder, or a .jsonl file whose names are relative to its folder. Without metadata.jsonl: the folder's pictures by name, each
// with a caption of the same name, cat.png and cat.txt (UTF-8, at most 1 MiB; line breaks become blanks). Pictures are
// not opened yet. Error{file}: neither, no sample at all, a bad one.
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

}  // namespace sspo::io
