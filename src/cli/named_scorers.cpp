#include "cli/named_scorers.hpp"

#include <algorithm>
#include <filesystem>
#include <set>

#include "sspo/io/file.hpp"

namespace sspo::cli {

namespace fs = std::filesystem;

std::uint64_t bytes_under(const std::string& path) {
  std::error_code error;
  if (fs::is_regular_file(path, error)) return fs::file_size(path, error);
  std::uint64_t bytes = 0;
  for (fs::recursive_directory_iterator it(path, error), end; !error && it != end; it.increment(error))
    if (it->is_regular_file(error)) bytes += it->file_size(error);
  return bytes;
}

std::vector<NamedScorer> named_scorers(const std::vector<std::string>& names, const std::string& weights, const ScorerOptions& options, const char* op) {
  std::vector<NamedScorer> scorers;
  std::set<std::string> known;
  for (const std::string& name : names) {
    if (!known.insert(name).second) fail({.op = op, .what = "a scorer twice", .expected = "each once", .got = io::printable(name)}, Site{});
    const std::span<const ScorerKind> kinds = scorer_kinds();
    const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const ScorerKind& k) { return k.name == name; });
    if (kind == kinds.end()) load_scorer(name, {}, options);  // says which there are
    const std::string path = weights + "/" + name;
    std::error_code none;
    if (!fs::exists(path, none)) io::bad_file({.path = path}, "there are no weights of " + name, std::string(kind->needs), "nothing", "see docs/reproduce.md, and --weights");
    scorers.push_back({name, bytes_under(path), [name, path, options] { return load_scorer(name, path, options); }});
  }
  return scorers;
}

}  // namespace sspo::cli
