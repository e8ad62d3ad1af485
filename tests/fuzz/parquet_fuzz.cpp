// The bytes are a Parquet file. Accepted means: each column lies in the file; a value read again, in another order, is the same; what
// may not be missing is there.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "sspo/io/parquet.hpp"

using namespace sspo;
using namespace sspo::io;

namespace {

constexpr ParquetLimits limits{.footer = 1 << 20, .page = 1 << 20, .dictionary = 1 << 20};
constexpr std::uint64_t most_values = 200;

void require(bool holds) {
  if (!holds) std::abort();
}
void refused_well(const Error& e) { require(e.info().kind == ErrorKind::file && std::string_view(e.what()).find('\n') == std::string_view::npos); }

struct Kept {
  bool null;
  std::string bytes;
  double number;
  explicit Kept(const ParquetValue& v) : null(v.null), bytes(v.bytes), number(v.number) {}
  bool operator==(const Kept& o) const { return null == o.null && bytes == o.bytes && std::memcmp(&number, &o.number, sizeof number) == 0; }
};

void check_column(const ByteSource& file, const ParquetTable& table, int column, std::size_t group) {
  const std::uint64_t rows = std::min(table.groups[group].rows, most_values);
  std::vector<Kept> values;
  try {
    ParquetValues forward(file, table, column, group, {.path = "f"}, limits);
    for (std::uint64_t i = 0; i < rows; ++i) {
      values.emplace_back(forward.at(i));
      if (!table.columns[std::size_t(column)].nullable) require(!values.back().null);
    }
  } catch (const Error& e) {
    refused_well(e);
  }
  if (values.empty()) return;
  ParquetValues again(file, table, column, group, {.path = "f"}, limits);
  for (std::uint64_t i = values.size(); i-- > 0;) require(Kept(again.at(i)) == values[std::size_t(i)]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteSource file{size, [&](std::uint64_t at, void* to, std::uint64_t bytes) {
                          require(at <= size && bytes <= size - at);
                          if (bytes) std::memcpy(to, data + at, bytes);
                        }};
  try {
    const ParquetTable table = read_parquet(file, {.path = "f"}, limits);
    std::uint64_t rows = 0, looked_at = 0;
    for (const ParquetGroup& g : table.groups) {
      rows += g.rows;
      require(g.chunks.size() == table.columns.size());
      for (const ParquetChunk& c : g.chunks) require(c.begin >= 4 && c.begin <= c.end && c.end <= size);
    }
    require(rows == table.rows);
    for (std::size_t g = 0; g < table.groups.size(); ++g)
      for (std::size_t c = 0; c < table.columns.size(); ++c)
        if (++looked_at <= 40) check_column(file, table, int(c), g);
  } catch (const Error& e) {
    refused_well(e);
  }
  return 0;
}
