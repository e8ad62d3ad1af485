// UTF-8, as the parsers of this room need it.
#pragma once
#include <cstddef>
#include <string_view>

namespace sspo::io {

// Bytes of the well-formed UTF-8 sequence that starts at `at` (Unicode table 3-7), or 0.
std::size_t utf8_sequence(std::string_view bytes, std::size_t at);
// Where the first ill-formed sequence starts; npos: all is well.
std::size_t find_bad_utf8(std::string_view bytes);

}  // namespace sspo::io
