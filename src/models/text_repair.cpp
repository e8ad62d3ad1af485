#include "models/text_repair.hpp"

#include "models/html_unescape.hpp"
#include "models/unicode.hpp"

namespace sspo::clip {
namespace {

// What Windows-1252 has at 0x80 ... 0x9F; 0: nothing.
constexpr char16_t windows_1252[32] = {0x20AC, 0, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017D, 0,
                                       0, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0, 0x017E, 0x0178};

std::u32string_view ligature(char32_t c) {
  switch (c) {
    case 0x132: return U"IJ";
    case 0x133: return U"ij";
    case 0x149: return U"\u02BCn";
    case 0x1F1: return U"DZ";
    case 0x1F2: return U"Dz";
    case 0x1F3: return U"dz";
    case 0x1C4: return U"D\u017D";
    case 0x1C5: return U"D\u017E";
    case 0x1C6: return U"d\u017E";
    case 0x1C7: return U"LJ";
    case 0x1C8: return U"Lj";
    case 0x1C9: return U"lj";
    case 0x1CA: return U"NJ";
    case 0x1CB: return U"Nj";
    case 0x1CC: return U"nj";
    case 0xFB00: return U"ff";
    case 0xFB01: return U"fi";
    case 0xFB02: return U"fl";
    case 0xFB03: return U"ffi";
    case 0xFB04: return U"ffl";
    case 0xFB05: return U"\u017Ft";
    case 0xFB06: return U"st";
    default: return {};
  }
}

// Half- and full-width forms in their common width (NFKC of that character alone).
std::u32string common_width(char32_t c) {
  if (c == 0x3000) return U" ";
  if (c < 0xFF01 || c > 0xFFEF) return std::u32string(1, c);
  Codepoint parts[32];
  int bound = 0;
  const auto n = utf8proc_decompose_char(Codepoint(c), parts, 32, utf8proc_option_t(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT), &bound);
  return std::u32string(parts, parts + (n > 0 ? n : 0));
}

bool is_dropped(char32_t c) {
  return c <= 0x08 || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || (c >= 0x206A && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFC);
}

// ESC [ digits and semicolons, a letter: its length at the start of text, or 0.
std::size_t escape_length(std::u32string_view text) {
  if (text.size() < 3 || text[0] != 0x1B || text[1] != '[') return 0;
  std::size_t n = 2;
  while (n < text.size() && ((text[n] >= '0' && text[n] <= '9') || text[n] == ';')) ++n;
  const char32_t last = n < text.size() ? text[n] | 0x20 : 0;
  return last >= 'a' && last <= 'z' ? n + 1 : 0;
}

std::string without_oddities(std::string_view text) {
  std::u32string wide;
  for (const char32_t read : characters(text)) {
    const char32_t c = read >= 0x80 && read <= 0x9F && windows_1252[read - 0x80] ? windows_1252[read - 0x80] : read;
    if (const std::u32string_view apart = ligature(c); !apart.empty()) wide += apart;
    else wide += common_width(c);
  }
  std::u32string clean;
  for (std::size_t i = 0; i < wide.size();) {
    if (const std::size_t n = escape_length(std::u32string_view(wide).substr(i))) {
      i += n;
      continue;
    }
    const char32_t c = wide[i++];
    if (c == 0x2BC || (c >= 0x2018 && c <= 0x201B)) clean += U'\'';
    else if (c >= 0x201C && c <= 0x201F) clean += U'"';
    else if (c == '\r') clean += wide[i] == '\n' ? U"" : U"\n";
    else if (c == 0x2028 || c == 0x2029 || c == 0x85) clean += U'\n';
    else if (!is_dropped(c)) clean += c;
  }
  std::string repaired;
  for (const char32_t c : composed(clean)) append(repaired, Codepoint(c));
  return repaired;
}

}  // namespace

std::string text_repaired(std::string_view text) {
  constexpr int most = 16;  // rounds: what is left of entities of entities is for the clean-up
  const bool tags = text.find('<') != std::string_view::npos;
  std::string now(text);
  for (int round = 0; round < most; ++round) {
    std::string next = without_oddities(tags ? now : html_unescaped(now));
    if (next == now) break;
    now = std::move(next);
  }
  return now;
}

}  // namespace sspo::clip
