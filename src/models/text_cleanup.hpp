// From any bytes to the words that byte-pair encoding works on: repair, clean-up (two flavours), splitting.
//   for_each_word(normalised_hf(valid_utf8(prompt)), Folding::none, [](std::string_view word, bool literal) { ... });
// All linear in the text, but for a run of combining marks (n log n). Unicode data: libutf8proc's.
#pragma once
#include <functional>
#include <string>
#include <string_view>

namespace sspo::clip {

inline constexpr std::string_view start_literal = "<|startoftext|>", end_literal = "<|endoftext|>";

// Every longest broken part becomes one U+FFFD: what Python's bytes.decode("utf-8", errors="replace") gives.
std::string valid_utf8(std::string_view bytes);

// The functions below take valid UTF-8.
// hf: NFC, each run of white space one blank, then each character's lower case (a final sigma is like any other).
std::string normalised_hf(std::string_view text);
// openai: HTML entities undone twice, runs of white space one blank, none at the ends, lower case with final sigma.
std::string cleaned_openai(std::string_view text);
std::string stripped(std::string_view text);  // no white space at the ends, as Python's str.strip()

// The matches of CLIP's pattern, in order; what lies between is white space and dropped:
//   <|startoftext|> | <|endoftext|> | 's | 't | 're | 've | 'm | 'll | 'd | letters | one number | other characters
// Folding::ignore_case: as Python's regex matches it with IGNORECASE. For lower-case text that means: the long s U+017F
// is an s in the literals, and U+0345, whose other case is a letter but which is none, matches nothing.
enum class Folding { none, ignore_case };
using WordVisitor = std::function<void(std::string_view word, bool literal)>;  // literal: one of the first two
void for_each_word(std::string_view text, Folding folding, const WordVisitor& visit);

}  // namespace sspo::clip
