#include <zlib.h>

#include <algorithm>
#include <memory>

#include "io/page_codec.hpp"
#include "io/parquet_pages.hpp"

namespace sspo::io {
namespace {
constexpr int most_empty = 1000;
}

struct ParquetValues::State {
  ByteSource file;
  ParquetColumn column;
  ParquetChunk chunk;
  std::uint64_t rows;
  Place place;
  ParquetLimits limits;

  struct Known {  // a page that was met
    std::uint64_t header, first;  // byte and row
  };
  std::vector<Known> pages{};
  std::uint64_t walked = 0, walked_rows = 0;  // bytes and rows of the chunk whose headers were read
  std::string dictionary{};
  std::vector<std::uint32_t> entries{};
  bool has_dictionary = false;
  std::unique_ptr<Page> page{};
  std::size_t current = 0;                    // which of `pages` it is
  int empty = 0;                              // pages without values: some writers leave one, none leaves thousands
  std::uint64_t unpacked = 0;

  Place at_byte(std::uint64_t at) const {
    Place here = place;
    here.at = "@" + std::to_string(at);
    return here;
  }

  std::string content(const PageHeader& h, std::uint64_t most) {
    const Place here = at_byte(h.begin);
    if (h.unpacked > most) bad_file(here, "a page is too large", "at most " + std::to_string(most) + " bytes", std::to_string(h.unpacked));
    if (h.packed > most + (most >> 3)) bad_file(here, "a packed page is larger than a page may be", "at most " + std::to_string(most) + " bytes", std::to_string(h.packed));
    const std::string packed = file.text(h.begin, h.packed);
    if (h.crc >= 0 && crc32_z(0, reinterpret_cast<const Bytef*>(packed.data()), packed.size()) != std::uint64_t(h.crc)) bad_file(here, "the page's checksum is wrong");
    const ParquetCodec codec = h.is_packed ? chunk.codec : ParquetCodec::none;
    std::string all(std::size_t(h.unpacked), '\0');
    std::copy_n(packed.data(), h.level_bytes, all.data());
    unpack_page(codec, std::string_view(packed).substr(h.level_bytes), all.data() + h.level_bytes, h.unpacked - h.level_bytes, here);
    unpacked += h.unpacked + 1024;
    return all;
  }

  void read_dictionary(const PageHeader& h) {
    const Place here = at_byte(h.begin);
    if (has_dictionary || !pages.empty()) bad_file(here, "a dictionary that does not come first");
    if (h.encoding != std::int64_t(PageEncoding::plain) && h.encoding != std::int64_t(PageEncoding::plain_dictionary)) bad_file(here, "unsupported encoding of a dictionary", "PLAIN");
    if (column.type == ParquetType::boolean) bad_file(here, "a dictionary of booleans");
    if (h.values > h.unpacked / 4) bad_file(here, "a dictionary of more entries than bytes", {}, std::to_string(h.values));
    dictionary = content(h, limits.dictionary);
    has_dictionary = true;
    entries.reserve(std::size_t(h.values));
    std::string_view rest = dictionary;
    const std::size_t width = column.type == ParquetType::int32 || column.type == ParquetType::float32 ? 4 : 8;
    for (std::uint64_t i = 0; i < h.values; ++i) {
      ParquetValue v;
      if (!PlainValues(rest, column.type).next(v)) bad_file(here, "the dictionary ends early", std::to_string(h.values) + " entries", std::to_string(i));
      entries.push_back(std::uint32_t(dictionary.size() - rest.size()));
      rest.remove_prefix(column.type == ParquetType::bytes ? 4 + v.bytes.size() : width);
    }
    if (!rest.empty()) bad_file(here, "the dictionary holds more than its entries");
  }

  // Headers, from where the last walk ended, until the row's page is known.
  void walk_to(std::uint64_t row) {
    while (walked_rows <= row) {
      const std::uint64_t at = chunk.begin + walked;
      if (at >= chunk.end) bad_file(at_byte(at), "the column ends early", std::to_string(rows) + " values", std::to_string(walked_rows));
      const PageHeader h = read_page_header(file, at, chunk.end, place);
      walked = h.begin + h.packed - chunk.begin;
      if (h.kind == PageKind::dictionary) read_dictionary(h);
      if (h.kind == PageKind::dictionary) continue;
      if (h.kind == PageKind::index || h.values == 0) {
        if (++empty > most_empty) bad_file(at_byte(at), "too many pages without values", "at most " + std::to_string(most_empty));
        continue;
      }
      if (h.values > rows - walked_rows) bad_file(at_byte(at), "a page of more values than rows are left", std::to_string(rows - walked_rows), std::to_string(h.values));
      pages.push_back({at, walked_rows});
      walked_rows += h.values;
    }
  }

  void open(std::size_t which) {
    if (page && current == which) return;
    page.reset();
    const PageHeader h = read_page_header(file, pages[which].header, chunk.end, place);
    page = std::make_unique<Page>(h, content(h, limits.page), column, dictionary, entries, at_byte(h.begin));
    current = which;
  }

  ParquetValue at(std::uint64_t row) {
    if (row >= rows) bad_file(place, "there is no such row", "less than " + std::to_string(rows), std::to_string(row));
    walk_to(row);
    const auto it = std::upper_bound(pages.begin(), pages.end(), row, [](std::uint64_t r, const Known& k) { return r < k.first; }) - 1;
    open(std::size_t(it - pages.begin()));
    page->skip_to(row - it->first);
    return page->next();
  }
};

ParquetValues::ParquetValues(ByteSource file, const ParquetTable& table, int column, std::size_t group, const Place& place, const ParquetLimits& limits) {
  const ParquetColumn& c = table.columns.at(std::size_t(column));
  const ParquetGroup& g = table.groups.at(group);
  const Place here = place.in(c.name);
  if (c.repeated) bad_file(here, "the column is inside a list or a map", "a value for each row");
  if (c.type == ParquetType::int96 || c.type == ParquetType::fixed_bytes) bad_file(here, "unsupported type of a column", "any but INT96 and FIXED_LEN_BYTE_ARRAY", std::string(name_of(c.type)));
  require_codec(g.chunks[std::size_t(column)].codec, here);
  state_ = new State{std::move(file), c, g.chunks[std::size_t(column)], g.rows, here.in("row group " + std::to_string(group)), limits};
}
ParquetValues::~ParquetValues() { delete state_; }
ParquetValues::ParquetValues(ParquetValues&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
ParquetValue ParquetValues::at(std::uint64_t row) { return state_->at(row); }
std::uint64_t ParquetValues::unpacked() const { return state_->unpacked; }

}  // namespace sspo::io
