// The pages of one column chunk: where each lies, and its values.
#pragma once
#include <vector>

#include "io/parquet_runs.hpp"
#include "sspo/io/parquet.hpp"

namespace sspo::io {

enum class PageKind { data, index, dictionary, data_v2 };  // numbered as in the format
enum class PageEncoding { plain = 0, plain_dictionary = 2, rle = 3, rle_dictionary = 8 };

struct PageHeader {
  PageKind kind;
  std::uint64_t begin, packed, unpacked;  // bytes: where the page's own begin in the file, and how many
  std::uint64_t values = 0;               // nulls among them
  std::int64_t encoding = -1, level_encoding = -1;
  std::uint64_t level_bytes = 0;          // V2: of levels, which are never packed
  bool is_packed = true;                  // V2
  std::int64_t crc = -1;
};
// The header at `at`, which begins a page that lies before `end`.
PageHeader read_page_header(const ByteSource& file, std::uint64_t at, std::uint64_t end, const Place& place);

// PLAIN values, one after the other.
class PlainValues {
 public:
  PlainValues() = default;
  PlainValues(std::string_view bytes, ParquetType type) : bytes_(bytes), type_(type) {}
  bool next(ParquetValue& value);  // false: the bytes end before it
  bool at_end() const { return bytes_.empty(); }

 private:
  std::string_view bytes_{};
  ParquetType type_ = ParquetType::bytes;
  unsigned bit_ = 0;
};

// The values of one page, in order.
class Page {
 public:
  // `dictionary`: where each of its values begins among its bytes; may be empty.
  Page(const PageHeader& header, std::string bytes, const ParquetColumn& column, const std::string& dictionary, const std::vector<std::uint32_t>& entries, Place place);
  void skip_to(std::uint64_t value);
  ParquetValue next();

 private:
  void start();
  [[noreturn]] void damaged(const char* what) const;

  std::string bytes_;
  const ParquetColumn& column_;
  const std::string& dictionary_;
  const std::vector<std::uint32_t>& entries_;
  Place place_;
  std::uint64_t count_, next_ = 0;
  PageEncoding encoding_ = PageEncoding::plain;
  std::string_view level_bytes_{}, value_bytes_{};
  Runs levels_, runs_;
  PlainValues plain_;
};

}  // namespace sspo::io
