// Thrift's compact protocol (thrift.apache.org, thrift-compact-protocol.md), as far as Parquet's headers need it: structs read
// field by field, anything unknown passed over.
//   Thrift t(bytes, place);
//   t.fields([&](int id) { id == 2 ? void(size = t.integer()) : t.skip(); });
#pragma once
#include "sspo/io/file.hpp"

namespace sspo::io {

class Thrift {
 public:
  // `begin`: where `bytes` start in the file, for messages. Error{file} from every function: not what the bytes hold.
  Thrift(std::string_view bytes, Place place, std::uint64_t begin = 0) : bytes_(bytes), place_(std::move(place)), begin_(begin) {}

  // on_field(id) reads the field's value, by one of the functions below.
  template <class F>
  void fields(F on_field) {
    const Within within(*this);
    for (int id = 0; next_field(id);) on_field(id);
  }
  template <class F>
  void list(F on_element) {  // on_element() reads one
    const Within within(*this);
    for (std::uint64_t left = list_size(); left > 0; --left) {
      type_ = element_;
      on_element();
    }
  }
  std::int64_t integer();       // of 8 to 64 bits
  std::uint64_t size();         // an integer that is not negative
  bool boolean();
  std::string_view text();      // any bytes
  void skip();

  std::size_t at() const { return at_; }  // bytes read so far
  [[noreturn]] void wrong(const char* what) const;

 private:
  // Values inside values, at most so deep.
  class Within {
   public:
    explicit Within(Thrift& t);
    ~Within();

   private:
    Thrift& t_;
    int element_;
  };
  bool next_field(int& id);     // and its type
  std::uint64_t list_size();    // and its elements' type
  unsigned byte();
  std::uint64_t varint();
  void want(bool fits, const char* what) const;
  void skip_list();

  std::string_view bytes_;
  Place place_;
  std::uint64_t begin_;
  std::size_t at_ = 0;
  int depth_ = 0, type_ = 12, element_ = 0;  // type_: of the value that is next; outermost a struct
};

}  // namespace sspo::io
