// Texts from files: one a line, plain or as JSON.
#pragma once
#include <string>
#include <vector>

#include "io/lines.hpp"

namespace sspo::cli {

using io::for_each_line;

// PATH.jsonl: an object a line with the key "text" or "caption". Any other name: the lines. Error{file}: none, or more than 256 MiB.
std::vector<std::string> read_texts(const std::string& path);

}  // namespace sspo::cli
