#include "io/thrift.hpp"

namespace sspo::io {
namespace {

enum Type { stop = 0, yes = 1, no = 2, i8 = 3, i64 = 6, f64 = 7, binary = 8, list_of = 9, set_of = 10, map = 11, structure = 12 };

constexpr int deepest = 24;

}  // namespace

Thrift::Within::Within(Thrift& t) : t_(t), element_(t.element_) {
  if (++t.depth_ > deepest) t.wrong("values are nested too deeply");
}
Thrift::Within::~Within() {
  --t_.depth_;
  t_.element_ = element_;
}

void Thrift::wrong(const char* what) const {
  Place here = place_;
  here.at = "@" + std::to_string(begin_ + at_);
  bad_file(here, what);
}

void Thrift::want(bool fits, const char* what) const {
  if (!fits) wrong(what);
}

unsigned Thrift::byte() {
  want(at_ < bytes_.size(), "the header is cut short");
  return static_cast<unsigned char>(bytes_[at_++]);
}

std::uint64_t Thrift::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const unsigned b = byte();
    value |= std::uint64_t(b & 0x7f) << shift;
    if (b < 0x80) return value;
  }
  wrong("a number of more than 64 bits");
}

bool Thrift::next_field(int& id) {
  if (id == 0) want(type_ == structure, "a struct was expected here");
  const unsigned b = byte();
  if (b == stop) return false;
  type_ = int(b & 0xf);
  if (b >> 4) {
    id += int(b >> 4);
  } else {  // the id itself, zigzag
    const std::uint64_t v = varint();
    want(v <= 2 * 32767, "a field's number is out of range");
    want(!(v & 1) && v > 0, "a field's number is out of range");
    id = int(v / 2);
  }
  want(type_ >= yes && type_ <= structure, "an unknown type of a field");
  return true;
}

std::uint64_t Thrift::list_size() {
  want(type_ == list_of || type_ == set_of, "a list was expected here");
  const unsigned b = byte();
  element_ = int(b & 0xf);
  want(element_ >= yes && element_ <= structure, "an unknown type of a list's elements");
  const std::uint64_t size = b >> 4 == 15 ? varint() : b >> 4;
  want(size <= bytes_.size() - at_, "a list is longer than the header");  // an element takes a byte or more
  return size;
}

std::int64_t Thrift::integer() {
  want(type_ >= i8 && type_ <= i64, "a whole number was expected here");
  if (type_ == i8) return static_cast<std::int8_t>(byte());
  const std::uint64_t v = varint();
  return static_cast<std::int64_t>(v >> 1) ^ -static_cast<std::int64_t>(v & 1);  // zigzag
}

std::uint64_t Thrift::size() {
  const std::int64_t v = integer();
  want(v >= 0, "a size is negative");
  return std::uint64_t(v);
}

bool Thrift::boolean() {
  want(type_ == yes || type_ == no, "a boolean was expected here");
  return type_ == yes;
}

std::string_view Thrift::text() {
  want(type_ == binary, "a text was expected here");
  const std::uint64_t size = varint();
  want(size <= bytes_.size() - at_, "a text is longer than the header");
  const std::string_view text = bytes_.substr(at_, size);
  at_ += size;
  return text;
}

void Thrift::skip_list() {
  const std::uint64_t size = list_size();
  const bool flags = element_ == yes || element_ == no;  // a byte each, in lists alone
  for (std::uint64_t i = 0; i < size; ++i) {
    type_ = element_;
    flags ? void(byte()) : skip();
  }
}

void Thrift::skip() {
  const Within within(*this);
  switch (type_) {
    case yes:
    case no: return;
    case f64:
      want(bytes_.size() - at_ >= 8, "the header is cut short");
      at_ += 8;
      return;
    case binary: text(); return;
    case list_of:
    case set_of: return skip_list();
    case map: wrong("a map, which Parquet's headers have none of");
    case structure:
      for (int id = 0; next_field(id);) skip();
      return;
    default: integer();
  }
}

}  // namespace sspo::io
