// The scorers that a verb is asked for, as --scorers a,b --weights DIR name them.
#pragma once
#include <string>
#include <vector>

#include "sspo/eval/scoring.hpp"

namespace sspo::cli {

// NAME's weights are WEIGHTS/NAME; none is loaded yet. Error, of `op`: a scorer twice, no scorer of that name; Error{file}: no weights there.
std::vector<NamedScorer> named_scorers(const std::vector<std::string>& names, const std::string& weights, const ScorerOptions& options, const char* op);
std::uint64_t bytes_under(const std::string& path);  // of a file, or of a folder's files; 0 if there is nothing

}  // namespace sspo::cli
