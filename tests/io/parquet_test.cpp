#include "sspo/io/parquet.hpp"

#include <zlib.h>

#include <algorithm>
#include <cmath>

#include "io/parquet_runs.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::io;
using testing::check_error;

namespace {

const std::string golden = std::string(SSPO_SOURCE_DIR) + "/tests/golden/data/";
constexpr int rows = 18;
#ifdef SSPO_SNAPPY
constexpr bool with_snappy = true;
#else
constexpr bool with_snappy = false;
#endif
#ifdef SSPO_ZSTD
constexpr bool with_zstd = true;
#else
constexpr bool with_zstd = false;
#endif

std::string content(const std::string& name) { return File(golden + name).text(1 << 20); }
ParquetTable table_of(std::string_view bytes, const ParquetLimits& limits = {}) { return read_parquet(source_of(bytes), {.path = "t.parquet"}, limits); }

// All values of a column, through all row groups.
template <class F>
void each(std::string_view bytes, const char* column, F on_value, const ParquetLimits& limits = {}) {
  const ParquetTable table = table_of(bytes, limits);
  std::uint64_t row = 0;
  for (std::size_t g = 0; g < table.groups.size(); ++g) {
    ParquetValues values(source_of(bytes), table, table.find(column), g, {.path = "t.parquet"}, limits);
    for (std::uint64_t i = 0; i < table.groups[g].rows; ++i) on_value(int(row++), values.at(i));
  }
}

// What make_data.py put there.
void check_golden(const std::string& bytes) {
  int seen = 0;
  each(bytes, "caption", [&](int i, ParquetValue v) {
    ++seen;
    CHECK(v.null == (i % 7 == 3));
    if (!v.null) CHECK(v.bytes == "caption " + std::to_string(i % 5) + " \xc3\xa9");
  });
  CHECK(seen == rows);
  each(bytes, "key", [](int i, ParquetValue v) {
    char key[8];
    std::snprintf(key, sizeof key, "%03d", i);
    CHECK(!v.null);
    CHECK(v.bytes == key);
  });
}
void check_all_types(const std::string& bytes) {
  each(bytes, "i32", [](int i, ParquetValue v) { CHECK((i % 4 == 1 ? v.null : !v.null && v.number == i - 12)); });
  each(bytes, "i64", [](int i, ParquetValue v) { CHECK((!v.null && v.number == i * 1e12)); });
  each(bytes, "f32", [](int i, ParquetValue v) { CHECK((!v.null && v.number == i / 4.0)); });
  each(bytes, "f64", [](int i, ParquetValue v) { CHECK((i == 17 ? v.null : !v.null && v.number == i * 0.1)); });
  each(bytes, "flag", [](int i, ParquetValue v) { CHECK((i % 5 == 2 ? v.null : !v.null && v.number == (i % 3 == 0))); });
  each(bytes, "image.bytes", [](int i, ParquetValue v) { CHECK((i % 6 == 5 ? v.null : !v.null && v.bytes == std::string(std::size_t(i), char(i)))); });
  each(bytes, "image.path", [](int i, ParquetValue v) { CHECK((i % 6 == 5 || i % 2 ? v.null : v.bytes == std::to_string(i) + ".jpg")); });
  each(bytes, "nothing", [](int, ParquetValue v) { CHECK(v.null); });
}

// --- a file by hand: one column of texts, or several; headers in Thrift's compact protocol

std::string varint(std::uint64_t v) {
  std::string out;
  for (; v >= 0x80; v >>= 7) out += char(v | 0x80);
  return out + char(v);
}
std::string zigzag(std::int64_t v) { return varint(std::uint64_t(v) << 1 ^ std::uint64_t(v >> 63)); }
std::string number(int delta, std::int64_t v, int type = 6) { return char(delta << 4 | type) + zigzag(v); }
std::string text(int delta, const std::string& s) { return char(delta << 4 | 8) + varint(s.size()) + s; }
std::string list(int delta, int type, const std::vector<std::string>& elements) {
  std::string out(1, char(delta << 4 | 9));
  out += elements.size() < 15 ? std::string(1, char(elements.size() << 4 | std::size_t(type))) : char(0xf0 | type) + varint(elements.size());
  for (const std::string& e : elements) out += e;
  return out;
}
const std::string stop(1, '\0');
std::string structure(int delta, const std::string& fields) { return char(delta << 4 | 12) + fields + stop; }

std::string le32(std::uint32_t v) { return {char(v), char(v >> 8), char(v >> 16), char(v >> 24)}; }
std::string bytes_value(const std::string& s) { return le32(std::uint32_t(s.size())) + s; }
// A data page V1 of PLAIN values that are always there.
std::string page(const std::string& body, int values, std::int64_t unpacked = -1, int encoding = 0, std::int64_t packed = -1) {
  return number(1, 0) + number(1, unpacked < 0 ? std::int64_t(body.size()) : unpacked) + number(1, packed < 0 ? std::int64_t(body.size()) : packed) +
         structure(2, number(1, values) + number(1, encoding) + number(1, 3) + number(1, 3)) + stop + body;
}
struct Parts {
  std::string pages, name = "text";
  std::int64_t values = 2, rows = 2, codec = 0, type = 6, begin = 4, length = -1, total_rows = -1;
  std::string more = {};  // fields of FileMetaData behind the row groups
};
std::string parquet(const Parts& p) {
  const std::string root = text(4, "schema") + number(1, 1) + stop, leaf = number(1, p.type) + number(2, 0) + text(1, p.name) + stop;
  const std::string meta = number(1, p.type) + list(1, 5, {zigzag(0)}) + list(1, 8, {varint(p.name.size()) + p.name}) + number(1, p.codec) + number(1, p.values) +
                           number(1, std::int64_t(p.pages.size())) + number(1, p.length < 0 ? std::int64_t(p.pages.size()) : p.length) + number(2, p.begin);
  const std::string group = list(1, 12, {structure(3, meta) + stop}) + number(1, 100) + number(1, p.rows) + stop;
  const std::string footer = number(1, 1) + list(1, 12, {root, leaf}) + number(1, p.total_rows < 0 ? p.rows : p.total_rows) + list(1, 12, {group}) + p.more + stop;
  return "PAR1" + p.pages + footer + le32(std::uint32_t(footer.size())) + "PAR1";
}
const std::string two = bytes_value("one") + bytes_value("two");

std::vector<std::string> texts(const std::string& bytes, const ParquetLimits& limits = {}) {
  std::vector<std::string> all;
  each(bytes, "text", [&](int, ParquetValue v) { all.push_back(std::string(v.bytes)); }, limits);
  return all;
}
void refused(const Parts& p, std::initializer_list<const char*> parts, const ParquetLimits& limits = {}) {
  check_error([&] { texts(parquet(p), limits); }, parts);
}

}  // namespace

TEST_CASE("parquet: each codec, plain and by dictionary, pages V1 and V2, nulls, row groups, as pyarrow writes them") {
  for (const char* codec : {"none", "snappy", "gzip", "zstd"})
    for (const char* kind : {"plain", "dictionary"})
      for (const char* version : {"1", "2"}) {
        const std::string name = std::string(codec) + "_" + kind + "_v" + version + ".parquet";
        INFO(name);
        const std::string bytes = content(name);
        const ParquetTable table = table_of(bytes);
        if ((!with_snappy && name.starts_with("snappy")) || (!with_zstd && name.starts_with("zstd"))) {
          check_error([&] { check_golden(bytes); }, {"t.parquet: caption: pages packed by ", ", which this sspo was built without; install lib", "-dev and configure with -DSSPO_"});
          continue;
        }
        check_golden(bytes);
        check_all_types(bytes);
        CHECK(table.rows == rows);
        CHECK(table.groups.size() == 2);
        CHECK(table.columns.size() == 11);
        CHECK(table.writer.starts_with("parquet-cpp-arrow"));
        const int list = table.find("list.list.element");
        REQUIRE(list >= 0);
        CHECK(table.columns[std::size_t(list)].repeated);
        check_error([&] { ParquetValues(source_of(bytes), table, list, 0, {.path = "t.parquet"}); }, {"t.parquet: list.list.element: the column is inside a list or a map"});
      }
}

TEST_CASE("parquet: values in any order, from many pages") {
  for (const char* name : {"gzip_plain_v1.parquet", "none_dictionary_v2.parquet"}) {
    INFO(name);
    const std::string bytes = content(name);
    const ParquetTable table = table_of(bytes);
    ParquetValues values(source_of(bytes), table, table.find("image.bytes"), 0, {.path = "t"});
    for (const int i : {9, 0, 4, 4, 3, 8, 1, 9, 7}) {
      const ParquetValue v = values.at(std::uint64_t(i));
      CHECK((i == 5 || v.bytes == std::string(std::size_t(i), char(i))));
    }
    CHECK(values.at(5).null);
    CHECK(values.unpacked() > 3 * 1024);  // pages of a few values
    check_error([&] { values.at(10); }, {"t: image.bytes.row group 0: there is no such row (expected less than 10, got 10)"});
  }
}

TEST_CASE("parquet: checksums of pages are compared" * doctest::skip(!with_snappy)) {
  std::string bytes = content("checksums.parquet");
  check_golden(bytes);
  const ParquetTable table = table_of(bytes);
  const ParquetChunk chunk = table.groups[1].chunks[std::size_t(table.find("key"))];
  bytes[std::size_t(chunk.end) - 1] ^= 1;
  check_error([&] { each(bytes, "key", [](int, ParquetValue) {}); }, {"t.parquet@", "key.row group 1", "the page's checksum is wrong"});
}

TEST_CASE("parquet: what is not read is named") {
  const auto refused_file = [](const char* name, std::initializer_list<const char*> parts) {
    const std::string bytes = content(name);
    check_error([&] { each(bytes, "caption", [](int, ParquetValue) {}); }, parts);
  };
  if (with_snappy) refused_file("delta.parquet", {"t.parquet@", "caption.row group 0: unsupported encoding of a page (expected PLAIN, a dictionary, or RLE of booleans, got 7)"});
  refused_file("lz4.parquet", {"t.parquet: caption: unsupported codec of pages (expected none, snappy, gzip or zstd, got lz4"});
}

TEST_CASE("parquet: the footer") {
  const std::string good = parquet({.pages = page(two, 2)});
  CHECK(texts(good) == std::vector<std::string>{"one", "two"});
  const auto bad = [](std::string_view bytes, std::initializer_list<const char*> parts) { check_error([&] { table_of(bytes); }, parts); };
  bad("", {"t.parquet: is no Parquet file (expected one that begins with PAR1, got an empty file)"});
  bad("PK\x03\x04", {"is no Parquet file"});
  bad("PAR1", {"the Parquet file is cut short (expected PAR1 at its end"});
  bad(std::string_view(good).substr(0, good.size() - 1), {"cut short"});
  bad("PARE" + good.substr(4), {"the file is encrypted"});
  std::string lying = good;
  lying.replace(lying.size() - 8, 4, le32(1u << 30));
  bad(lying, {"the footer is longer than the file"});
  check_error([&] { table_of(good, {.footer = 10}); }, {"the footer is too large (expected at most 10 bytes"});
  for (std::size_t size = 4 + page(two, 2).size(); size + 8 < good.size(); ++size) {  // a footer that ends anywhere
    std::string cut = good.substr(0, size);
    cut += le32(std::uint32_t(size - 4 - page(two, 2).size())) + "PAR1";
    CHECK_THROWS_AS(table_of(cut), Error);
  }
  bad(parquet({.pages = page(two, 2), .values = 3}), {"row group 0.text: as many values as rows are expected (expected 2, got 3)"});
  bad(parquet({.pages = page(two, 2), .total_rows = 5}), {"footer: the row groups do not add up to the rows (expected 5, got 2)"});
  bad(parquet({.pages = page(two, 2), .rows = -1}), {"a size is negative"});
  bad(parquet({.pages = page(two, 2), .codec = 9}), {"row group 0.text: an unknown codec (expected 0 to 7, got 9)"});
  bad(parquet({.pages = page(two, 2), .type = 8}), {"a column of an unknown type"});
  bad(parquet({.pages = page(two, 2), .begin = 1}), {"row group 0.text: the column leaves the file"});
  bad(parquet({.pages = page(two, 2), .length = 1 << 30}), {"row group 0.text: the column leaves the file"});
  bad(parquet({.pages = page(two, 2), .begin = (std::int64_t(1) << 62), .length = (std::int64_t(1) << 62)}), {"the column leaves the file"});
  bad(parquet({.pages = page(two, 2), .more = structure(4, "")}), {"the file is encrypted"});
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += char(1 << 4 | 12);
  bad(parquet({.pages = page(two, 2), .more = char(5 << 4 | 12) + deep}), {"values are nested too deeply"});
  bad(parquet({.pages = page(two, 2), .more = char(5 << 4 | 9) + std::string("\xfc") + varint(1u << 31)}), {"a list is longer than the header"});
}

TEST_CASE("parquet: pages that lie or are cut short") {
  refused({.pages = page(bytes_value("one"), 2)}, {"t.parquet@", ": text.row group 0: the page's values end early"});
  refused({.pages = page(two + "x", 2)}, {"the page holds more than its values"});
  refused({.pages = page(bytes_value("one") + le32(0xffffffff), 2)}, {"the page's values end early"});
  refused({.pages = page(two, 3)}, {"a page of more values than rows are left (expected 2, got 3)"});
  refused({.pages = page(bytes_value("one"), 1)}, {"the column ends early (expected 2 values, got 1)"});
  refused({.pages = page(two, 2), .length = 10}, {"t.parquet@14: text.row group 0: the header is cut short"});
  refused({.pages = page(two, 2, -1, 0, 1000)}, {"a page leaves its column"});
  refused({.pages = page(two, 2, 1000)}, {"a page does not unpack to what its header says (expected 1000 bytes, by none)"});
  refused({.pages = page(two, 2, std::int64_t(1) << 40)}, {"a page is too large (expected at most 134217728 bytes, got 1099511627776)"});
  refused({.pages = page(two, 2)}, {"a page is too large (expected at most 8 bytes, got 14)"}, {.page = 8});
  refused({.pages = page(std::string("\x02\x04\x00", 3), 2, -1, 8)}, {"a value is not in the dictionary (expected less than 0, got 0)"});
  refused({.pages = page("\x21", 2, -1, 8)}, {"indices of more than 32 bits"});
  refused({.pages = page(two, 2, -1, 5)}, {"unsupported encoding of a page", "got 5"});
  refused({.pages = std::string("\x15\x12\x00", 3)}, {"an unknown kind of page"});
  std::string empty;
  for (int i = 0; i < 1001; ++i) empty += page("", 0);
  CHECK(texts(parquet({.pages = page("", 0) + page(two, 2)})).size() == 2);
  refused({.pages = empty + page(two, 2)}, {"too many pages without values (expected at most 1000)"});
  const auto dictionary = [](const std::string& body, int values) {
    return number(1, 2) + number(1, std::int64_t(body.size())) + number(1, std::int64_t(body.size())) + structure(4, number(1, values) + number(1, 0) + std::string("\x12")) + stop + body;  // not sorted
  };
  CHECK(texts(parquet({.pages = dictionary(two, 2) + page(std::string("\x01\x03\x02", 3), 2, -1, 8)})) == std::vector<std::string>{"one", "two"});
  refused({.pages = dictionary(two, 3) + page("\x01\x03\x02", 2, -1, 8)}, {"the dictionary ends early (expected 3 entries, got 2)"});
  refused({.pages = dictionary(two, 1) + page("\x01\x03\x02", 2, -1, 8)}, {"the dictionary holds more than its entries"});
  refused({.pages = dictionary(two, 1 << 30) + page("\x01\x03\x02", 2, -1, 8)}, {"a dictionary of more entries than bytes"});
  refused({.pages = dictionary(two, 2) + dictionary(two, 2)}, {"a dictionary that does not come first"});
  refused({.pages = dictionary(two, 2) + page("\x03\x04\x05", 2, -1, 8)}, {"a value is not in the dictionary (expected less than 2, got 5)"});
}

TEST_CASE("parquet: bombs unpack to no more than their header says") {
  const std::string zeros(1 << 20, '\0');
  std::string packed(compressBound(zeros.size()) + 64, '\0');
  z_stream z{};
  REQUIRE(deflateInit2(&z, 9, Z_DEFLATED, MAX_WBITS + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(zeros.data())), z.avail_in = uInt(zeros.size());
  z.next_out = reinterpret_cast<Bytef*>(packed.data()), z.avail_out = uInt(packed.size());
  REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
  packed.resize(z.total_out);
  deflateEnd(&z);
  CHECK(packed.size() < 2000);
  refused({.pages = page(packed, 2, 14), .codec = 2}, {"a page does not unpack to what its header says (expected 14 bytes, by gzip)"});
  refused({.pages = page(packed, 2, 1 << 21), .codec = 2}, {"a page does not unpack to what its header says"});
  refused({.pages = page(packed, 2, 1 << 20), .codec = 2}, {"the page holds more than its values"});
  refused({.pages = page(two, 2), .codec = 1}, {with_snappy ? "by snappy)" : "built without"});
  refused({.pages = page(two, 2), .codec = 6}, {with_zstd ? "by zstd)" : "built without"});
}

TEST_CASE("parquet: cut anywhere or with any byte changed, a file is read or refused in one line") {
  for (const char* name : {"gzip_dictionary_v2.parquet", "none_plain_v1.parquet"}) {
    INFO(name);
    const std::string whole = content(name);
    for (std::size_t size = 0; size < whole.size(); size += 11) CHECK_THROWS_AS(table_of(std::string_view(whole).substr(0, size)), Error);
    int refusals = 0;
    for (std::size_t at = 0; at < whole.size(); at += 3) {
      std::string bytes = whole;
      bytes[at] = char(bytes[at] ^ (1 << at % 8));
      try {
        const ParquetTable table = table_of(bytes);
        for (const char* column : {"caption", "f64", "flag", "image.bytes"})
          if (table.find(column) >= 0) each(bytes, column, [](int, ParquetValue) {});
      } catch (const Error& e) {
        ++refusals;
        CHECK(e.info().kind == ErrorKind::file);
        CHECK(std::string(e.what()).find('\n') == std::string::npos);
      }
    }
    CHECK(refusals > 100);
  }
}

TEST_CASE("parquet: runs and packed bits") {
  const auto all = [](std::string_view bytes, unsigned width) {
    Runs runs(bytes, width);
    std::vector<std::uint32_t> values;
    for (std::uint32_t v; values.size() < 100 && runs.next(v);) values.push_back(v);
    return values;
  };
  CHECK(all(std::string_view("\x03\x88\xc6\xfa", 4), 3) == std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5, 6, 7});  // the format's own example
  CHECK(all(std::string_view("\x08\x05", 2), 3) == std::vector<std::uint32_t>{5, 5, 5, 5});
  CHECK(all(std::string_view("\x04\x01\x02\x02\xff\x00", 6), 9) == std::vector<std::uint32_t>{513, 513, 255});
  CHECK(all(std::string_view("\x06", 1), 0) == std::vector<std::uint32_t>{0, 0, 0});
  CHECK(all(std::string_view("\x03\x88", 2), 3).size() == 2);   // bits that are not there
  CHECK(all(std::string_view("\x08", 1), 3).empty());
  CHECK(all("\xff\xff\xff\xff\xff\xff\xff", 3).empty());        // a length without end
  CHECK(all(std::string_view("\x02\xff\xff\xff\xff", 5), 32) == std::vector<std::uint32_t>{0xffffffff});
}
