// Texts by lines, as promise S5 has them.
#pragma once
#include <functional>
#include <string_view>

#include "sspo/io/file.hpp"

namespace sspo::io {

// Gets each line that is not blank, and where it stands.
using OnLine = std::function<void(std::string_view line, const Place& place)>;

// LF or CRLF; a BOM at the start is dropped; Error{file} for a line of more than 16 MiB.
void for_each_line(const File& file, const OnLine& on_line);  // a piece at a time: the file may be larger than memory
void for_each_line(std::string_view text, const Place& place, const OnLine& on_line);

}  // namespace sspo::io
