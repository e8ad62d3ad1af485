// What those who read JSON as a stream of events share: where the parser is, and refusing with that place.
//   class Counter : public JsonEvents { ... override the events ... };
//   Counter c(text, place);   read_events(text, c);
#pragma once
#include "io/json.hpp"

namespace sspo::io {

class JsonEvents : public nlohmann::json_sax<Json> {
 public:
  // base: the offset of the text within its file.
  JsonEvents(std::string_view text, const Place& place, std::uint64_t base = 0)
      : reached(text.data()), place_(place), text_(text), base_(base) {}
  bool binary(Json::binary_t&) final { return false; }  // not in JSON text
  bool parse_error(std::size_t position, const std::string& token, const nlohmann::detail::exception&) final;

  const char* reached;  // what the parser has read ends here

 protected:
  std::uint64_t offset() const { return base_ + static_cast<std::uint64_t>(reached - text_.data()); }
  // Throws Error{file} at the byte given.
  [[noreturn]] void refuse(std::uint64_t at, const std::string& field, std::string what, std::string expected = {}, std::string got = {}) const;

  const Place& place_;

 private:
  std::string_view text_;
  std::uint64_t base_;
};

// What the parser would not see or not survive well. Throws Error{file} at the first NUL (it takes that for the end),
// ill-formed UTF-8, a number of more than 1,000 digits, a string of more than 64 MiB.
void check_json_bytes(std::string_view text, const Place& place, std::uint64_t base = 0);
void read_events(std::string_view text, JsonEvents& events);

}  // namespace sspo::io
