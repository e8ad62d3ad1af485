// A data set's lines, one by one.
#pragma once
#include "io/lines.hpp"
#include "sspo/io/dataset.hpp"

namespace sspo::io {

Row parse_row(std::string_view line, const Place& place);  // place.at: ":12"

// The samples of the lines added; bad ones go to `bad`. Error{file}: more than a data set may take of memory.
class RowLines {
 public:
  explicit RowLines(BadSamples& bad) : bad_(bad) {}
  void add(std::string_view line, const Place& place);
  std::vector<Row> rows;

 private:
  BadSamples& bad_;
  std::size_t memory_ = 0;
};

}  // namespace sspo::io
