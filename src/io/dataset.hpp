// What the readers of data sets share.
#pragma once
#include <algorithm>
#include <optional>

#include "io/json.hpp"
#include "io/lines.hpp"
#include "sspo/io/dataset.hpp"

namespace sspo::io {

constexpr std::uint64_t longest_caption = 1u << 20, most_picture_bytes = std::uint64_t(256) << 20;
constexpr std::size_t most_line_memory = std::size_t(256) << 20, most_shard_memory = std::size_t(400) << 20;

// What the samples take, all in all: 256 MiB of lines could otherwise become gigabytes of small strings.
class RowMemory {
 public:
  explicit RowMemory(std::size_t most) : most_(most) {}
  void add(const Row& row, const Place& place);  // Error{file}: too much

 private:
  std::size_t most_, bytes_ = 0;
};

// Room for `more` rows of a shard: at least doubled, so that many shards do not copy all rows each, and never beyond what memory may hold.
inline void make_room(std::vector<Row>& rows, std::uint64_t more) {
  constexpr std::uint64_t most = most_shard_memory / sizeof(Row);
  const std::uint64_t wanted = rows.size() + std::min(more, most);
  if (wanted > rows.capacity()) rows.reserve(std::size_t(std::min(std::max<std::uint64_t>(wanted, 2 * rows.capacity()), most)));
}

Row parse_row(std::string_view line, const Place& place);  // place.at: ":12"

// The samples of the lines added; bad ones go to `bad`.
class RowLines {
 public:
  explicit RowLines(BadSamples& bad) : bad_(bad) {}
  void add(std::string_view line, const Place& place);
  std::vector<Row> rows;

 private:
  BadSamples& bad_;
  RowMemory memory_{most_line_memory};
};

// A caption's file: UTF-8, without its BOM, line breaks and tabs as blanks, none around it.
std::string caption_text(std::string text, const Place& place);

// The json of a tar's sample: keywords and all other fields as in metadata.jsonl; of a pair, label_0 and label_1 apart. true: it
// holds text or caption.
struct PairLabels {
  std::optional<double> of[2];
};
bool read_sample_json(std::string_view json, const Place& place, Row& row, PairLabels* labels);

// Which of two pictures won, by labels that are no tie: 0 or 1.
int winner_of(double label_0, double label_1, const Place& place);

Dataset open_parquet(const std::string& folder, const std::vector<std::string>& shards, BadSamples& bad);
Dataset open_tars(const std::string& folder, const std::vector<std::string>& shards, BadSamples& bad);

}  // namespace sspo::io
