#include "io/json_events.hpp"

#include <algorithm>

#include "io/text.hpp"

namespace sspo::io {
namespace {

// Hands the text to the parser byte by byte and tells how far that has come.
struct Cursor {
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  const char* next;
  const char** reached;
  reference operator*() const { return *next; }
  Cursor& operator++() { *reached = ++next; return *this; }
  bool operator==(const Cursor& o) const { return next == o.next; }
  bool operator!=(const Cursor& o) const { return next != o.next; }
};

[[noreturn]] void refuse_at(Place place, std::uint64_t at, std::string what, std::string expected = {}, std::string got = {}) {
  place.at += "@" + std::to_string(at);  // behind the line, if the text is one
  bad_file(place, std::move(what), std::move(expected), std::move(got));
}

// The parser keeps several copies of the token it is in.
constexpr std::size_t longest_number = 1000, longest_string = std::size_t(64) << 20;

// Strings and numbers of absurd length. What is no JSON may pass: the parser refuses that.
void check_token_lengths(std::string_view text, const Place& place, std::uint64_t base) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t begin = i;
    if (text[i] == '"') {
      for (++i; i < text.size() && text[i] != '"';) i += text[i] == '\\' ? 2 : 1;
      if (i - begin > longest_string) refuse_at(place, base + begin, "a string is too long", "at most " + std::to_string(longest_string) + " bytes");
      ++i;
    } else {
      while (i < text.size() && ((text[i] >= '0' && text[i] <= '9') || std::string_view("+-.eE").find(text[i]) != std::string_view::npos)) ++i;
      if (i - begin > longest_number) refuse_at(place, base + begin, "a number is too long", "at most " + std::to_string(longest_number) + " digits");
      if (i == begin) ++i;
    }
  }
}

}  // namespace

bool JsonEvents::parse_error(std::size_t position, const std::string& token, const nlohmann::detail::exception&) {
  if (position > text_.size()) refuse(base_ + text_.size(), place_.field, "the JSON text ends too early");
  refuse(base_ + position - 1, place_.field, "not JSON", {}, "\"" + printable(token, 40) + "\"");
}

void JsonEvents::refuse(std::uint64_t at, const std::string& field, std::string what, std::string expected, std::string got) const {
  refuse_at({.path = place_.path, .at = place_.at, .field = field}, at, std::move(what), std::move(expected), std::move(got));
}

void check_json_bytes(std::string_view text, const Place& place, std::uint64_t base) {
  const std::size_t bad = std::min(find_bad_utf8(text), text.find('\0'));
  if (bad == std::string_view::npos) return check_token_lengths(text, place, base);
  if (text[bad] == '\0') refuse_at(place, base + bad, "a NUL byte, which JSON does not have");
  refuse_at(place, base + bad, "not UTF-8", {}, std::string(text.substr(bad, 4)));
}

void read_events(std::string_view text, JsonEvents& events) {
  Json::sax_parse(Cursor{text.data(), &events.reached}, Cursor{text.data() + text.size(), &events.reached}, &events);
}

}  // namespace sspo::io
