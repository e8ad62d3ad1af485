// Texts from files: one a line, plain or as JSON.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sspo/io/file.hpp"

namespace sspo::cli {

// on_line(line, place) for each line that is not blank: LF or CRLF, a BOM at the start is dropped, at most 16 MiB a line (promise S5).
void for_each_line(const io::File& file, const std::function<void(std::string_view line, const io::Place& place)>& on_line);

// PATH.jsonl: an object a line with the key "text" or "caption". Any other name: the lines. Error{file}: none, or more than 256 MiB.
std::vector<std::string> read_texts(const std::string& path);

}  // namespace sspo::cli
