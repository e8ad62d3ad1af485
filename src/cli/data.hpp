// `sspo data`: data sets made, checked and converted.
#pragma once
#include <cstdint>
#include <string>

#include "sspo/io/dataset.hpp"

namespace sspo::cli {

struct DataCheckOptions {
  std::string path;    // whatever io::open_dataset takes
  Index skip_bad = 0;  // so many bad samples are told and passed over
  bool json = false;
};
// Decodes every picture. Prints "N samples" and what they are, or one JSON object; bad ones go to stderr, a line each.
void data_check(const DataCheckOptions& options);

const char* layout_name(io::DataKind kind);  // "imagefolder", "parquet", "webdataset"

struct DataConvertOptions {
  std::string from, to;
  std::string layout;        // imagefolder or webdataset; empty: a name that ends in .tar is one tar, any other an imagefolder
  Index shard_size = 1000;   // samples a tar
  Index skip_bad = 0;
  bool force = false, json = false;
};
// The same samples in another layout, pictures' bytes unchanged. It is there whole or not at all.
void data_convert(const DataConvertOptions& options);

struct DataShapesOptions {
  std::string out, judge;   // a folder to write, or a data set whose pictures are held to their captions
  Index count = 2000, side = 32;
  std::uint64_t seed = 0;
  bool styles = false;      // each caption once, in two drawings, as data_emoji lays out its styles
  bool force = false, json = false;
};
void data_shapes(const DataShapesOptions& options);

struct DataEmojiOptions {
  std::string out;
  Index side = 32;
  std::string font, names, pngs;    // Noto's font, CLDR's folder common, gemojione's pictures; empty: where Debian has them
  bool force = false, json = false;
};
// Writes noto/ and emojione/, a picture of each name that both draw, and metadata.jsonl: file_name, text, keywords, name, split, style,
// theme (yes: faces, hearts, animals, plants, food), quarter (1 to 4, of the training names; 0: held out); a row of noto is a preference pair, the other style its loser.
void data_emoji(const DataEmojiOptions& options);

// One of ten captions, the same ones everywhere: those whose SHA-256 begins with 8 digits that are a multiple of ten.
bool is_held_out(const std::string& caption);
int quarter_of(const std::string& caption);  // 1 to 4, by the next 8 digits; 0: held out

}  // namespace sspo::cli
