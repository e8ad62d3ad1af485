// A Parquet file's footer: PAR1, pages, FileMetaData, its length in 4 bytes, PAR1. Names and numbers of fields: parquet.thrift.
#include <algorithm>

#include "io/thrift.hpp"
#include "sspo/io/hash.hpp"
#include "sspo/io/parquet.hpp"

namespace sspo::io {
namespace {

constexpr std::string_view magic = "PAR1";
constexpr std::size_t most_columns = 16384, longest_name = 4096, deepest = 32;

struct Element {  // of the schema, a tree in depth-first order
  std::int64_t type = -1, repetition = 0;
  std::uint64_t children = 0;
  std::string name;
};

struct ChunkFields {
  std::int64_t type = -1, codec = -1;
  std::uint64_t values = 0, bytes = 0, data = 0, dictionary = 0;
  bool described = false;
};

class Footer {
 public:
  Footer(std::string_view bytes, const Place& place, std::uint64_t begin) : thrift_(bytes, place.in("footer"), begin), place_(place), begin_(begin) {}

  ParquetTable table() {
    bool schema = false;
    thrift_.fields([&](int id) {
      switch (id) {
        case 2: read_schema(); schema = true; break;
        case 3: t_.rows = thrift_.size(); break;
        case 4:
          if (!schema) thrift_.wrong("row groups before the schema");
          thrift_.list([&] { t_.groups.push_back(group()); });
          break;
        case 6: t_.writer = thrift_.text(); break;
        case 8: bad_file(place_, "the file is encrypted", "one that is not");
        default: thrift_.skip();
      }
    });
    if (!schema) bad_file(place_.in("footer"), "there is no schema");
    std::uint64_t rows = 0;
    for (const ParquetGroup& g : t_.groups)
      if (__builtin_add_overflow(rows, g.rows, &rows)) bad_file(place_.in("footer"), "row groups of more than 2^64 rows");
    if (rows != t_.rows) bad_file(place_.in("footer"), "the row groups do not add up to the rows", std::to_string(t_.rows), std::to_string(rows));
    return std::move(t_);
  }

 private:
  Element element() {
    Element e;
    thrift_.fields([&](int id) {
      switch (id) {
        case 1: e.type = thrift_.integer(); break;
        case 3: e.repetition = thrift_.integer(); break;
        case 4: e.name = thrift_.text(); break;
        case 5: e.children = thrift_.size(); break;
        default: thrift_.skip();
      }
    });
    if (e.repetition < 0 || e.repetition > 2) thrift_.wrong("an unknown repetition of a column");
    if (e.children == 0 && (e.type < 0 || e.type > 7)) thrift_.wrong("a column of an unknown type");
    return e;
  }

  struct Inside {  // of a group of the schema
    std::string path;
    std::uint64_t left;
    int nullable;
    bool repeated;
  };
  void read_schema() {
    std::vector<Inside> open;
    bool root = true;
    thrift_.list([&] {
      const Element e = element();
      if (root) {
        root = false;
        open.push_back({"", e.children, 0, false});
        return;
      }
      while (!open.empty() && open.back().left == 0) open.pop_back();
      if (open.empty()) thrift_.wrong("a column outside the schema's tree");
      Inside& in = open.back();
      --in.left;
      const std::string path = in.path.empty() ? e.name : in.path + "." + e.name;
      const int nullable = in.nullable + (e.repetition != 0);
      const bool repeated = in.repeated || e.repetition == 2;
      if (path.size() > longest_name || open.size() > deepest) thrift_.wrong("a column's name is too long");
      if (e.children) {
        open.push_back({path, e.children, nullable, repeated});
      } else {
        if (t_.columns.size() == most_columns) thrift_.wrong("too many columns");
        t_.columns.push_back({path, ParquetType(e.type), nullable, repeated});
      }
    });
    if (root || std::any_of(open.begin(), open.end(), [](const Inside& i) { return i.left > 0; })) thrift_.wrong("the schema's tree is not whole");
  }

  void description(ChunkFields& c) {
    c.described = true;
    thrift_.fields([&](int id) {
      switch (id) {
        case 1: c.type = thrift_.integer(); break;
        case 4: c.codec = thrift_.integer(); break;
        case 5: c.values = thrift_.size(); break;
        case 7: c.bytes = thrift_.size(); break;
        case 9: c.data = thrift_.size(); break;
        case 11: c.dictionary = thrift_.size(); break;
        default: thrift_.skip();
      }
    });
  }

  ParquetChunk chunk(const ParquetColumn& column, ChunkFields& c) {
    thrift_.fields([&](int id) {
      switch (id) {
        case 1: bad_file(place_.in(column.name), "the column lies in another file", "all columns in one"); break;
        case 3: description(c); break;
        case 8: bad_file(place_.in(column.name), "the column is encrypted", "one that is not"); break;
        default: thrift_.skip();
      }
    });
    const Place here = place_.in("row group " + std::to_string(t_.groups.size())).in(column.name);
    if (!c.described) bad_file(here, "the column is not described");
    if (c.type != std::int64_t(column.type)) bad_file(here, "the column's type is not the schema's", std::string(name_of(column.type)), std::to_string(c.type));
    if (c.codec < 0 || c.codec > std::int64_t(ParquetCodec::lz4_raw)) bad_file(here, "an unknown codec", "0 to 7", std::to_string(c.codec));
    if (c.bytes == 0) return {ParquetCodec(c.codec), magic.size(), magic.size()};  // of no rows: its place may be nowhere
    const std::uint64_t begin = c.dictionary && c.dictionary < c.data ? c.dictionary : c.data;
    if (begin < magic.size() || begin > begin_ || c.bytes > begin_ - begin)
      bad_file(here, "the column leaves the file", "bytes " + std::to_string(magic.size()) + " to " + std::to_string(begin_), std::to_string(c.bytes) + " bytes at " + std::to_string(begin));
    return {ParquetCodec(c.codec), begin, begin + c.bytes};
  }

  ParquetGroup group() {
    ParquetGroup g{};
    std::vector<std::uint64_t> values;
    bool rows = false;
    thrift_.fields([&](int id) {
      switch (id) {
        case 1:
          thrift_.list([&] {
            if (g.chunks.size() == t_.columns.size()) thrift_.wrong("a row group of more columns than the schema");
            ChunkFields c;
            g.chunks.push_back(chunk(t_.columns[g.chunks.size()], c));
            values.push_back(c.values);
          });
          break;
        case 3: g.rows = thrift_.size(); rows = true; break;
        default: thrift_.skip();
      }
    });
    const Place here = place_.in("row group " + std::to_string(t_.groups.size()));
    if (!rows || g.chunks.size() != t_.columns.size()) bad_file(here, "the row group is not whole", std::to_string(t_.columns.size()) + " columns", std::to_string(g.chunks.size()));
    for (std::size_t i = 0; i < values.size(); ++i)
      if (!t_.columns[i].repeated && values[i] != g.rows) bad_file(here.in(t_.columns[i].name), "as many values as rows are expected", std::to_string(g.rows), std::to_string(values[i]));
    return g;
  }

  Thrift thrift_;
  const Place& place_;
  std::uint64_t begin_;
  ParquetTable t_;
};

}  // namespace

std::string_view name_of(ParquetType type) {
  constexpr std::string_view names[] = {"BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"};
  return names[std::size_t(type)];
}
std::string_view name_of(ParquetCodec codec) {
  constexpr std::string_view names[] = {"none", "snappy", "gzip", "lzo", "brotli", "lz4", "zstd", "lz4_raw"};
  return names[std::size_t(codec)];
}

int ParquetTable::find(std::string_view name) const {
  const auto it = std::find_if(columns.begin(), columns.end(), [&](const ParquetColumn& c) { return c.name == name; });
  return it == columns.end() ? -1 : int(it - columns.begin());
}

ParquetTable read_parquet(const ByteSource& file, const Place& place, const ParquetLimits& limits) {
  const std::string first = file.text(0, std::min<std::uint64_t>(file.size, magic.size()));
  if (first == "PARE") bad_file(place, "the file is encrypted", "one that is not");
  if (first != magic) bad_file(place, "is no Parquet file", "one that begins with PAR1", first.empty() ? "an empty file" : "\"" + first + "\"");
  const std::string last = file.size < 12 ? std::string(8, '\0') : file.text(file.size - 8, 8);
  if (last.substr(4) != magic) bad_file(place, "the Parquet file is cut short", "PAR1 at its end", "\"" + last.substr(4) + "\"");
  std::uint64_t bytes = 0;
  for (std::size_t i = 4; i-- > 0;) bytes = bytes << 8 | static_cast<unsigned char>(last[i]);
  if (bytes > file.size - 12) bad_file(place, "the footer is longer than the file", "at most " + std::to_string(file.size - 12) + " bytes", std::to_string(bytes));
  if (bytes > limits.footer) bad_file(place, "the footer is too large", "at most " + std::to_string(limits.footer) + " bytes", std::to_string(bytes));
  const std::uint64_t begin = file.size - 8 - bytes;
  const std::string footer = file.text(begin, bytes);
  ParquetTable table = Footer(footer, place, begin).table();
  table.digest = sha256_hex(std::string_view(footer));
  return table;
}

}  // namespace sspo::io
