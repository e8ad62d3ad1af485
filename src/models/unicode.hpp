// Characters of valid UTF-8, and what Unicode says of them; the data are libutf8proc's.
#pragma once
#include <utf8proc.h>

#include <string>
#include <string_view>

namespace sspo::clip {

using Codepoint = utf8proc_int32_t;

// The character at text[at], and `at` moved behind it. 0 <= at < text.size(), text is valid.
Codepoint next_character(std::string_view text, std::size_t& at);
void append(std::string& to, Codepoint c);
std::u32string characters(std::string_view text);

bool is_space(Codepoint c);                        // the property White_Space
void append_lower(std::string& to, Codepoint c);   // as Python's lower() of that character alone

// Canonical decomposition (UAX 15), marks in order; n log n in the length of a run of marks.
std::u32string decomposed(const std::u32string& text);
std::u32string composed(const std::u32string& text);  // NFC

}  // namespace sspo::clip
