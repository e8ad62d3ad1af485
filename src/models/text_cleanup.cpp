#include "models/text_cleanup.hpp"

#include <algorithm>
#include <vector>

#include "models/html_unescape.hpp"
#include "models/unicode.hpp"

namespace sspo::clip {
namespace {

// Length of the part at bytes[0] that starts like a character but is none: at least 1 (Unicode, table 3-7).
std::size_t broken_length(std::string_view bytes) {
  const auto lead = static_cast<unsigned char>(bytes[0]);
  const std::size_t length = lead < 0xC2 || lead > 0xF4 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  std::size_t n = 1;
  for (; n < length && n < bytes.size(); ++n) {
    const auto b = static_cast<unsigned char>(bytes[n]);
    unsigned char low = 0x80, high = 0xBF;
    if (n == 1) {
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    }
    if (b < low || b > high) break;
  }
  return n;
}

bool is_python_space(Codepoint c) { return is_space(c) || (c >= 0x1C && c <= 0x1F); }  // str.isspace()

enum class Class { space, letter, number, other };

Class class_of(Codepoint c) {
  if (is_space(c)) return Class::space;
  const utf8proc_category_t category = utf8proc_category(c);
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) return Class::letter;
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO ? Class::number : Class::other;
}

std::u32string one_blank_each(const std::u32string& text) {
  std::u32string all;
  all.reserve(text.size());
  bool in_space = false;
  for (const char32_t c : text) {
    const bool space = is_space(Codepoint(c));
    if (!space) all.push_back(c);
    if (space && !in_space) all.push_back(U' ');
    in_space = space;
  }
  return all;
}

std::u32string_view trimmed(std::u32string_view text) {
  while (!text.empty() && is_python_space(Codepoint(text.front()))) text.remove_prefix(1);
  while (!text.empty() && is_python_space(Codepoint(text.back()))) text.remove_suffix(1);
  return text;
}

struct Range {
  Codepoint low, high;
};
template <std::size_t N>
bool among(Codepoint c, const Range (&ranges)[N]) {
  return std::any_of(ranges, ranges + N, [c](Range r) { return c >= r.low && c <= r.high; });
}

// The properties Cased and Case_Ignorable (Unicode 3.13): categories, and what PropList and WordBreakProperty add.
bool is_cased(Codepoint c) {
  static constexpr Range others[] = {{0xAA, 0xAA}, {0xBA, 0xBA}, {0x2B0, 0x2B8}, {0x2C0, 0x2C1}, {0x2E0, 0x2E4}, {0x345, 0x345},
      {0x37A, 0x37A}, {0x1D2C, 0x1D6A}, {0x1D78, 0x1D78}, {0x1D9B, 0x1DBF}, {0x2071, 0x2071}, {0x207F, 0x207F}, {0x2090, 0x209C},
      {0x2160, 0x217F}, {0x24B6, 0x24E9}, {0x2C7C, 0x2C7D}, {0xA69C, 0xA69D}, {0xA770, 0xA770}, {0xA7F8, 0xA7F9}, {0xAB5C, 0xAB5F},
      {0x10780, 0x10780}, {0x10783, 0x10785}, {0x10787, 0x107B0}, {0x107B2, 0x107BA}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169},
      {0x1F170, 0x1F189}};
  const utf8proc_category_t category = utf8proc_category(c);
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LT) || among(c, others);
}
bool is_case_ignorable(Codepoint c) {
  static constexpr Range others[] = {{0x27, 0x27}, {0x2E, 0x2E}, {0x3A, 0x3A}, {0xB7, 0xB7}, {0x387, 0x387}, {0x55F, 0x55F},
      {0x5F4, 0x5F4}, {0x2018, 0x2019}, {0x2024, 0x2024}, {0x2027, 0x2027}, {0xFE13, 0xFE13}, {0xFE52, 0xFE52}, {0xFE55, 0xFE55},
      {0xFF07, 0xFF07}, {0xFF0E, 0xFF0E}, {0xFF1A, 0xFF1A}};
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_MN: case UTF8PROC_CATEGORY_ME: case UTF8PROC_CATEGORY_CF: case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default: return among(c, others);
  }
}

// Final_Sigma: a cased character before it, none after it, whatever case-ignorable ones lie between.
bool is_final_sigma(std::u32string_view text, std::size_t at) {
  std::size_t before = at, after = at + 1;
  while (before > 0 && is_case_ignorable(Codepoint(text[before - 1]))) --before;
  if (before == 0 || !is_cased(Codepoint(text[before - 1]))) return false;
  while (after < text.size() && is_case_ignorable(Codepoint(text[after]))) ++after;
  return after == text.size() || !is_cased(Codepoint(text[after]));
}

Class next_class(std::string_view text, std::size_t& at, Folding folding) {
  const Codepoint c = next_character(text, at);
  return folding == Folding::ignore_case && c == 0x345 ? Class::space : class_of(c);
}

// Length of `literal` (ASCII) at the start of text; 0 if it is not there.
std::size_t literal_length(std::string_view text, std::string_view literal, Folding folding) {
  std::size_t at = 0;
  for (const char c : literal) {
    if (at < text.size() && text[at] == c) at += 1;
    else if (folding == Folding::ignore_case && c == 's' && text.substr(at, 2) == "\u017F") at += 2;
    else return 0;
  }
  return at;
}

std::size_t first_literal(std::string_view text, std::initializer_list<std::string_view> literals, Folding folding) {
  for (const std::string_view literal : literals)
    if (const std::size_t n = literal_length(text, literal, folding)) return n;
  return 0;
}

}  // namespace

std::string valid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    Codepoint c = 0;
    const auto n = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(bytes.data()) + at, utf8proc_ssize_t(bytes.size() - at), &c);
    const std::size_t length = n > 0 ? std::size_t(n) : broken_length(bytes.substr(at));
    text += n > 0 ? bytes.substr(at, length) : std::string_view("\uFFFD");
    at += length;
  }
  return text;
}

std::string normalised_hf(std::string_view text) {
  std::string all;
  all.reserve(text.size());
  for (const char32_t c : one_blank_each(composed(characters(text)))) append_lower(all, Codepoint(c));
  return all;
}

std::string cleaned_openai(std::string_view text) {
  const std::u32string all = one_blank_each(std::u32string(trimmed(characters(html_unescaped(html_unescaped(text))))));
  const std::u32string_view clean = trimmed(all);
  std::string lower;
  lower.reserve(clean.size());
  for (std::size_t i = 0; i < clean.size(); ++i) {
    if (clean[i] == 0x3A3 && is_final_sigma(clean, i)) append(lower, 0x3C2);
    else append_lower(lower, Codepoint(clean[i]));
  }
  return lower;
}

std::string stripped(std::string_view text) {
  const std::u32string all = characters(text);
  std::string result;
  for (const char32_t c : trimmed(all)) append(result, Codepoint(c));
  return result;
}

void for_each_word(std::string_view text, Folding folding, const WordVisitor& visit) {
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    if (rest[0] == '<')
      if (const std::size_t n = first_literal(rest, {start_literal, end_literal}, folding)) {
        visit(rest.substr(0, n), true);
        at += n;
        continue;
      }
    std::size_t n = rest[0] == '\'' ? first_literal(rest, {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}, folding) : 0;
    if (n == 0) {
      const Class kind = next_class(rest, n, folding);
      while (n < rest.size() && (kind == Class::letter || kind == Class::other)) {
        std::size_t behind = n;
        if (next_class(rest, behind, folding) != kind) break;
        n = behind;
      }
      if (kind == Class::space) {
        at += n;
        continue;
      }
    }
    visit(rest.substr(0, n), false);
    at += n;
  }
}

}  // namespace sspo::clip
