#include "cli/where.hpp"

#include <algorithm>

namespace sspo::cli {

Where::Where(const std::vector<std::string>& conditions, const io::Place& place) {
  for (const std::string& text : conditions) {
    const std::size_t equal = text.find('=');
    const bool differs = equal != text.npos && equal > 0 && text[equal - 1] == '!';
    const std::string field = equal == text.npos ? "" : text.substr(0, equal - (differs ? 1 : 0));
    if (field.empty()) io::bad_file(place, "is no condition", "field=value or field!=value", io::printable(text));
    conditions_.push_back({field, text.substr(equal + 1), !differs});
  }
}

bool Where::holds(const io::Row& row) const {
  return std::all_of(conditions_.begin(), conditions_.end(), [&](const Condition& c) { return (row.field(c.field) == c.value) == c.equal; });
}

}  // namespace sspo::cli
