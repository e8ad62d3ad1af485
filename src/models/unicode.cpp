#include "models/unicode.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace sspo::clip {
namespace {

int combining_class(char32_t c) { return utf8proc_get_property(Codepoint(c))->combining_class; }

}  // namespace

Codepoint next_character(std::string_view text, std::size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return ++at, Codepoint(lead);
  Codepoint c = 0xFFFD;
  const auto n = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at, utf8proc_ssize_t(text.size() - at), &c);
  at += std::size_t(std::max<utf8proc_ssize_t>(n, 1));
  return c;
}

void append(std::string& to, Codepoint c) {
  if (c < 0x80) return to.push_back(char(c));
  utf8proc_uint8_t bytes[4];
  to.append(reinterpret_cast<const char*>(bytes), std::size_t(utf8proc_encode_char(c, bytes)));
}

std::u32string characters(std::string_view text) {
  std::u32string all;
  all.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) all.push_back(char32_t(next_character(text, at)));
  return all;
}

bool is_space(Codepoint c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
  const utf8proc_category_t category = utf8proc_category(c);
  return c == 0x85 || category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

// U+0130 is the one character whose lower case is two, whatever stands around it (SpecialCasing.txt).
void append_lower(std::string& to, Codepoint c) {
  if (c == 0x130) to += "i\u0307";
  else append(to, utf8proc_tolower(c));
}

// Marks are put in order here, by a sort: utf8proc's own ordering is quadratic in the length of a run of marks, and prompts are
// anybody's bytes.
std::u32string decomposed(const std::u32string& text) {
  std::u32string parts;
  parts.reserve(text.size());
  for (const char32_t c : text) {
    std::array<Codepoint, 32> pieces;  // one character has at most 4
    int bound = 0;
    const auto n = utf8proc_decompose_char(Codepoint(c), pieces.data(), utf8proc_ssize_t(pieces.size()), UTF8PROC_DECOMPOSE, &bound);
    parts.append(pieces.begin(), pieces.begin() + n);
  }
  for (std::size_t i = 0; i < parts.size();) {
    std::size_t end = i;
    while (end < parts.size() && combining_class(parts[end]) != 0) ++end;
    std::stable_sort(parts.begin() + std::ptrdiff_t(i), parts.begin() + std::ptrdiff_t(end),
                     [](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); });
    i = end + 1;
  }
  return parts;
}

std::u32string composed(const std::u32string& text) {
  if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x300; })) return text;  // nothing to do below U+0300
  const std::u32string apart = decomposed(text);
  std::vector<Codepoint> parts(apart.begin(), apart.end());
  const auto n = utf8proc_normalize_utf32(parts.data(), utf8proc_ssize_t(parts.size()), utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  return std::u32string(parts.begin(), parts.begin() + n);
}

}  // namespace sspo::clip
