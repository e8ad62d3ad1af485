#include "models/html_unescape.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>

namespace sspo::clip {
namespace {

struct Entity {
  std::string_view name, text;
};
constexpr Entity entities[] = {
#include "models/html_entities.inc"
};

std::string_view entity(std::string_view name) {  // empty: there is none
  const Entity* const found = std::lower_bound(std::begin(entities), std::end(entities), name,
                                               [](const Entity& e, std::string_view n) { return e.name < n; });
  return found != std::end(entities) && found->name == name ? found->text : std::string_view{};
}

std::string utf8(std::uint32_t c) {
  if (c < 0x80) return {char(c)};
  if (c < 0x800) return {char(0xC0 | c >> 6), char(0x80 | (c & 0x3F))};
  if (c < 0x10000) return {char(0xE0 | c >> 12), char(0x80 | (c >> 6 & 0x3F)), char(0x80 | (c & 0x3F))};
  return {char(0xF0 | c >> 18), char(0x80 | (c >> 12 & 0x3F)), char(0x80 | (c >> 6 & 0x3F)), char(0x80 | (c & 0x3F))};
}

// What a numeric reference stands for: 0x80 to 0x9F mean windows-1252, controls and noncharacters vanish.
std::string numbered(std::uint32_t c) {
  static constexpr std::array<std::uint16_t, 32> windows = {
      0x20AC, 0x81, 0x201A, 0x192, 0x201E, 0x2026, 0x2020, 0x2021, 0x2C6, 0x2030, 0x160, 0x2039, 0x152, 0x8D, 0x17D, 0x8F,
      0x90, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x2DC, 0x2122, 0x161, 0x203A, 0x153, 0x9D, 0x17E, 0x178};
  if (c >= 0x80 && c <= 0x9F) return utf8(windows[c - 0x80]);
  if (c == 0 || (c >= 0xD800 && c <= 0xDFFF) || c > 0x10FFFF) return utf8(0xFFFD);
  const bool control = (c < 0x20 && c != '\t' && c != '\n' && c != '\f' && c != '\r') || c == 0x7F;
  const bool no_character = (c >= 0xFDD0 && c <= 0xFDEF) || (c & 0xFFFE) == 0xFFFE;
  return control || no_character ? std::string{} : utf8(c);
}

int digit(char c, std::uint32_t base) {
  const int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
  return v < int(base) ? v : -1;
}

// `rest` begins behind "&#". Returns how much of it was the reference; 0: none.
std::size_t number(std::string_view rest, std::string& to) {
  const bool hex = !rest.empty() && (rest[0] == 'x' || rest[0] == 'X');
  const std::uint32_t base = hex ? 16 : 10;
  const std::size_t begin = hex ? 1 : 0;
  std::size_t at = begin;
  std::uint32_t value = 0;
  for (; at < rest.size() && digit(rest[at], base) >= 0; ++at)
    value = std::min<std::uint32_t>(value * base + std::uint32_t(digit(rest[at], base)), 0x110000);
  if (at == begin) return 0;
  to += numbered(value);
  return at + (at < rest.size() && rest[at] == ';');
}

// `rest` begins behind "&": a name of at most 32 characters and a semicolon, or else the longest beginning of it that
// is a name, as old pages write them ("&ampx" is "&x").
std::size_t name(std::string_view rest, std::string& to) {
  constexpr std::string_view ends = "\t\n\f <&#;";
  std::size_t length = 0;
  for (int count = 0; length < rest.size() && count < 32 && ends.find(rest[length]) == std::string_view::npos; ++count)
    do ++length;
    while (length < rest.size() && (rest[length] & 0xC0) == 0x80);
  if (length == 0) return 0;
  length += length < rest.size() && rest[length] == ';';
  for (std::size_t n = std::min<std::size_t>(length, 33); n >= 2; --n)
    if (const std::string_view text = entity(rest.substr(0, n)); !text.empty()) return to += text, n;
  return 0;
}

}  // namespace

std::string html_unescaped(std::string_view text) {
  std::string all;
  all.reserve(text.size());
  while (!text.empty()) {
    const std::size_t plain = std::min(text.find('&'), text.size());
    all += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    const std::string_view rest = text.substr(1);
    const std::size_t used = !rest.empty() && rest[0] == '#' ? number(rest.substr(1), all) : name(rest, all);
    if (used == 0) all += '&';
    text.remove_prefix(1 + (used ? used + (rest[0] == '#') : 0));
  }
  return all;
}

}  // namespace sspo::clip
