// Parquet files: what columns there are, and the values of those that are asked for (github.com/apache/parquet-format). Reading alone.
//   const File file("train-00000-of-00645.parquet");
//   const ParquetTable table = read_parquet(source_of(file), {.path = file.path()});
//   ParquetValues captions(source_of(file), table, table.find("caption"), 0, {.path = file.path()});   // of row group 0
//   for (std::uint64_t row = 0; row < table.groups[0].rows; ++row) print(captions.at(row).bytes);
// Memory holds the footer and, of each ParquetValues, one page and one dictionary. Read: pages V1 and V2; PLAIN, dictionaries, RLE;
// snappy, gzip, zstd or none. A column inside a list or map is listed, not read.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "sspo/io/byte_source.hpp"

namespace sspo::io {

enum class ParquetType { boolean, int32, int64, int96, float32, float64, bytes, fixed_bytes };  // numbered as in the format
enum class ParquetCodec { none, snappy, gzip, lzo, brotli, lz4, zstd, lz4_raw };
std::string_view name_of(ParquetType type);
std::string_view name_of(ParquetCodec codec);

struct ParquetColumn {
  std::string name;     // "caption"; of a struct's member "image.bytes"
  ParquetType type;
  int nullable;         // of the value and the structs around it, how many may be missing; 0: it is always there
  bool repeated;        // inside a list or a map
};
struct ParquetChunk {   // a column's values in one row group
  ParquetCodec codec;
  std::uint64_t begin, end;  // bytes in the file: pages, each with a header
};
struct ParquetGroup {
  std::uint64_t rows;
  std::vector<ParquetChunk> chunks;  // one a column
};
struct ParquetTable {
  std::vector<ParquetColumn> columns;
  std::vector<ParquetGroup> groups;
  std::uint64_t rows = 0;
  std::string writer;   // "parquet-cpp-arrow version 14.0.1"
  std::string digest;   // SHA-256 of the footer, which knows where each page run lies: another table is another digest, all but surely
  int find(std::string_view name) const;  // -1: no such column
};

struct ParquetLimits {
  std::uint64_t footer = 32u << 20, page = 128u << 20, dictionary = 64u << 20;  // bytes, unpacked
};
// Error{file}: no such file, cut short, a footer that contradicts the file or itself; encrypted files, columns in other files.
ParquetTable read_parquet(const ByteSource& file, const Place& place, const ParquetLimits& limits = {});

struct ParquetValue {
  bool null = true;
  std::string_view bytes = {};  // of BYTE_ARRAY: valid until the next call
  double number = 0;            // of all others; int64 beyond 2^53 is rounded
};

// Values of one column in one row group. Those in ascending order are read once; others cost at most the page they are in.
class ParquetValues {
 public:
  // `file` must stay readable as long as this. Error{file}: a repeated column, INT96 and
  // FIXED_LEN_BYTE_ARRAY, a codec that is not read; codecs that this
  // build is without say so.
  ParquetValues(ByteSource file, const ParquetTable& table, int column, std::size_t group, const Place& place, const ParquetLimits& limits = {});
  ~ParquetValues();
  ParquetValues(ParquetValues&&) noexcept;
  ParquetValue at(std::uint64_t row);      // row of the group. Error{file}: damaged
  std::uint64_t unpacked() const;          // bytes of pages so far, and 1 KiB a page: what reading took

 private:
  struct State;
  State* state_;
};

}  // namespace sspo::io
