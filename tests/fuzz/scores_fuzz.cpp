// The bytes are lines of scores. Accepted means: columns of one length, and written they read the same.
#include <cstdlib>
#include <string_view>

#include "sspo/eval/score_table.hpp"

using namespace sspo;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const ScoreTable t = parse_scores({reinterpret_cast<const char*>(data), size}, {.path = "f"});
    require(t.bad.size() == t.pictures.size() && t.scores.size() == t.scorers.size());
    for (const std::vector<Score>& column : t.scores) require(column.size() == t.pictures.size());
    const std::string lines = score_lines(t);
    require(score_lines(parse_scores(lines, {.path = "f"})) == lines);
  } catch (const Error& e) {
    require(e.info().kind == ErrorKind::file && std::string_view(e.what()).find('\n') == std::string_view::npos);
  }
  return 0;
}
