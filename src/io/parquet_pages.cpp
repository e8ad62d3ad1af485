#include "io/parquet_pages.hpp"

#include <algorithm>
#include <cstring>

#include "io/thrift.hpp"

namespace sspo::io {
namespace {

constexpr std::uint64_t longest_header = 1u << 20;

unsigned bits_for(std::uint64_t most) {
  unsigned bits = 0;
  for (; most; most >>= 1) ++bits;
  return bits;
}

PageHeader parse_header(std::string_view bytes, std::uint64_t at, const Place& place, std::size_t& length) {
  Thrift t(bytes, place, at);
  PageHeader h{};
  std::int64_t kind = -1;
  bool sizes[2] = {}, described = false;
  const auto data = [&](int id) {
    switch (id) {
      case 1: h.values = t.size(); break;
      case 2: h.encoding = t.integer(); break;
      case 3: h.level_encoding = t.integer(); break;
      default: t.skip();
    }
  };
  std::uint64_t rows = 0, level_bytes[2] = {};
  t.fields([&](int id) {
    switch (id) {
      case 1: kind = t.integer(); break;
      case 2: h.unpacked = t.size(); sizes[0] = true; break;
      case 3: h.packed = t.size(); sizes[1] = true; break;
      case 4: h.crc = std::int64_t(std::uint32_t(t.integer())); break;
      case 5: described = true; t.fields(data); break;
      case 7:
        described = true;
        t.fields([&](int of_dictionary) { of_dictionary <= 2 ? data(of_dictionary) : t.skip(); });  // 3: whether it is sorted
        break;
      case 8:
        described = true;
        t.fields([&](int v2) {
          switch (v2) {
            case 1: h.values = t.size(); break;
            case 3: rows = t.size(); break;
            case 4: h.encoding = t.integer(); break;
            case 5: level_bytes[0] = t.size(); break;
            case 6: level_bytes[1] = t.size(); break;
            case 7: h.is_packed = t.boolean(); break;
            default: t.skip();
          }
        });
        break;
      default: t.skip();
    }
  });
  if (kind < 0 || kind > 3) t.wrong("an unknown kind of page");
  if (!sizes[0] || !sizes[1] || (kind != 1 && !described)) t.wrong("a page's header is not whole");
  h.kind = PageKind(kind);
  if (h.kind == PageKind::data_v2) {
    if (level_bytes[1] || rows != h.values) t.wrong("a page of lists in a column without any");
    h.level_bytes = level_bytes[0];
    if (h.level_bytes > h.unpacked || h.level_bytes > h.packed) t.wrong("levels larger than their page");
  }
  length = t.at();
  return h;
}

}  // namespace

PageHeader read_page_header(const ByteSource& file, std::uint64_t at, std::uint64_t end, const Place& place) {
  for (std::uint64_t window = 512;; window *= 8) {  // most are short, those with statistics are not
    const std::uint64_t bytes = std::min({window, end - at, longest_header});
    const std::string head = file.text(at, bytes);
    std::size_t length = 0;
    PageHeader h;
    try {
      h = parse_header(head, at, place, length);
    } catch (const Error& e) {
      if (e.info().kind == ErrorKind::file && bytes == window && window < longest_header && window < end - at) continue;
      throw;
    }
    h.begin = at + length;
    if (h.packed > end - h.begin) {
      Place here = place;
      here.at = "@" + std::to_string(at);
      bad_file(here, "a page leaves its column", "at most " + std::to_string(end - h.begin) + " bytes", std::to_string(h.packed));
    }
    return h;
  }
}

bool PlainValues::next(ParquetValue& value) {
  constexpr std::size_t widths[] = {0, 4, 8, 0, 4, 8, 0, 0};
  value.null = false;
  if (type_ == ParquetType::boolean) {
    if (bytes_.empty()) return false;
    value.number = static_cast<unsigned char>(bytes_[0]) >> bit_ & 1;
    if (++bit_ == 8) bit_ = 0, bytes_.remove_prefix(1);
    return true;
  }
  std::size_t width = widths[std::size_t(type_)];
  if (type_ == ParquetType::bytes) {
    std::uint32_t length;
    if (bytes_.size() < sizeof length) return false;
    std::memcpy(&length, bytes_.data(), sizeof length);
    bytes_.remove_prefix(sizeof length);
    width = length;
  }
  if (bytes_.size() < width) return false;
  const char* p = bytes_.data();
  const auto load = [&]<class T>(T x) {
    std::memcpy(&x, p, sizeof x);
    value.number = double(x);
  };
  switch (type_) {
    case ParquetType::int32: load(std::int32_t()); break;
    case ParquetType::int64: load(std::int64_t()); break;
    case ParquetType::float32: load(float()); break;
    case ParquetType::float64: load(double()); break;
    default: value.bytes = bytes_.substr(0, width);
  }
  bytes_.remove_prefix(width);
  return true;
}

Page::Page(const PageHeader& h, std::string bytes, const ParquetColumn& column, const std::string& dictionary, const std::vector<std::uint32_t>& entries, Place place)
    : bytes_(std::move(bytes)), column_(column), dictionary_(dictionary), entries_(entries), place_(std::move(place)), count_(h.values) {
  std::string_view rest = bytes_;
  if (h.kind == PageKind::data_v2) {
    level_bytes_ = rest.substr(0, h.level_bytes);
    rest.remove_prefix(h.level_bytes);
  } else if (column.nullable) {
    if (h.level_encoding != std::int64_t(PageEncoding::rle)) damaged("an unsupported encoding of levels: RLE alone is read");
    std::uint32_t length = 0;
    if (rest.size() >= sizeof length) std::memcpy(&length, rest.data(), sizeof length);
    if (rest.size() < sizeof length || length > rest.size() - sizeof length) damaged("the page's levels leave it");
    level_bytes_ = rest.substr(sizeof length, length);
    rest.remove_prefix(sizeof length + length);
  }
  encoding_ = PageEncoding(h.encoding);
  if (encoding_ == PageEncoding::rle && column.type == ParquetType::boolean) {
    std::uint32_t length = 0;
    if (rest.size() >= sizeof length) std::memcpy(&length, rest.data(), sizeof length);
    if (rest.size() < sizeof length || length != rest.size() - sizeof length) damaged("the page's values are not as long as it says");
    rest.remove_prefix(sizeof length);
  } else if (encoding_ != PageEncoding::plain && encoding_ != PageEncoding::plain_dictionary && encoding_ != PageEncoding::rle_dictionary) {
    bad_file(place_, "unsupported encoding of a page", "PLAIN, a dictionary, or RLE of booleans", std::to_string(h.encoding), "pyarrow writes those by default: column_encoding is what asks for others");
  }
  value_bytes_ = rest;
  start();
}

void Page::damaged(const char* what) const { bad_file(place_, what); }

void Page::start() {
  next_ = 0;
  levels_ = Runs(level_bytes_, bits_for(std::uint64_t(column_.nullable)));
  if (encoding_ == PageEncoding::plain) {
    plain_ = PlainValues(value_bytes_, column_.type);
  } else if (encoding_ == PageEncoding::rle) {
    runs_ = Runs(value_bytes_, 1);
  } else {
    const unsigned width = value_bytes_.empty() ? 0 : static_cast<unsigned char>(value_bytes_[0]);
    if (width > 32) damaged("indices of more than 32 bits");
    runs_ = Runs(value_bytes_.substr(value_bytes_.empty() ? 0 : 1), width);
  }
}

void Page::skip_to(std::uint64_t value) {
  if (value < next_) start();
  while (next_ < value) next();
}

ParquetValue Page::next() {
  ParquetValue v;
  const bool last = ++next_ == count_;
  if (column_.nullable) {
    std::uint32_t level;
    if (!levels_.next(level)) damaged("the page's levels end early");
    if (level > std::uint32_t(column_.nullable)) damaged("a level is out of range");
    if (level < std::uint32_t(column_.nullable)) return v;
  }
  if (encoding_ == PageEncoding::plain) {
    if (!plain_.next(v)) damaged("the page's values end early");
    if (last && column_.type != ParquetType::boolean && !plain_.at_end()) damaged("the page holds more than its values");
    return v;
  }
  std::uint32_t index;
  if (!runs_.next(index)) damaged("the page's values end early");
  if (encoding_ == PageEncoding::rle) {
    v.null = false, v.number = index;
    return v;
  }
  if (index >= entries_.size()) bad_file(place_, "a value is not in the dictionary", "less than " + std::to_string(entries_.size()), std::to_string(index));
  PlainValues(std::string_view(dictionary_).substr(entries_[index]), column_.type).next(v);  // all entries were read once
  return v;
}

}  // namespace sspo::io
