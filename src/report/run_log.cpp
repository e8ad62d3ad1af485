#include "report/run_log.hpp"

#include <cmath>

#include "io/lines.hpp"

namespace sspo::report {
namespace {

namespace fs = std::filesystem;
constexpr std::uint64_t most_text = std::uint64_t(1) << 30;

std::string text_of(const fs::path& path) {
  std::error_code none;
  return fs::is_regular_file(path, none) ? io::File(path.string()).text(most_text) : std::string{};
}

}  // namespace

RunLog::RunLog(fs::path folder) : folder_(std::move(folder)), recipe_text_(text_of(folder_ / "recipe.toml")) {
  io::for_each_line(recipe_text_, {.path = (folder_ / "recipe.toml").string()}, [&](std::string_view line, const io::Place&) {  // one `key = value` a line
    const std::size_t at = line.find(" = ");
    if (at == std::string_view::npos) return;
    std::string value(line.substr(at + 3));
    if (value.size() >= 2 && value.front() == '"') value = value.substr(1, value.size() - 2);
    recipe_[std::string(line.substr(0, at))] = value;
  });
  for (const io::Json& line : find_lines(folder_ / "metrics.jsonl")) {
    if (!line.contains("step") || !line["step"].is_number()) continue;
    steps_.push_back(line["step"].get<double>());
    for (const auto& [name, value] : line.items()) {
      if (name == "step" || !(value.is_number() || value.is_null())) continue;
      if (!columns_.count(name)) names_.push_back(name);
      std::vector<double>& column = columns_[name];
      column.resize(steps_.size() - 1, NAN);
      column.push_back(value.is_number() ? value.get<double>() : NAN);
    }
  }
  for (auto& [name, column] : columns_) column.resize(steps_.size(), NAN);
}

std::string RunLog::recipe(const std::string& key) const {
  const auto it = recipe_.find(key);
  return it == recipe_.end() ? std::string{} : it->second;
}
std::vector<double> RunLog::column(const std::string& name) const {
  const auto it = columns_.find(name);
  return it == columns_.end() ? std::vector<double>(steps_.size(), NAN) : it->second;
}
double RunLog::total(const std::string& name) const {
  double sum = 0;
  for (const double v : column(name)) sum += std::isfinite(v) ? v : 0;
  return sum;
}
double RunLog::last(const std::string& name) const {
  double found = NAN;
  for (const double v : column(name)) found = std::isfinite(v) ? v : found;
  return found;
}

std::optional<io::Json> find_json(const fs::path& path) {
  const std::string bytes = text_of(path);
  if (bytes.empty()) return {};
  try {
    return io::parse_json(bytes, {.path = path.string()});
  } catch (const Error&) {
    return {};
  }
}

std::vector<io::Json> find_lines(const fs::path& path) {
  std::vector<io::Json> found;
  std::error_code none;
  if (!fs::is_regular_file(path, none)) return found;
  io::for_each_line(io::File(path.string()), [&](std::string_view line, const io::Place& place) {
    try {
      io::Json json = io::parse_json(line, place);
      if (json.is_object()) found.push_back(std::move(json));
    } catch (const Error&) {  // torn, as a killed process leaves it
    }
  });
  return found;
}

double number_at(const io::Json& x, std::initializer_list<const char*> path) {
  const io::Json* at = &x;
  for (const char* name : path) {
    if (!at->is_object() || !at->contains(name)) return NAN;
    at = &(*at)[name];
  }
  return at->is_number() ? at->get<double>() : NAN;
}
std::string text_at(const io::Json& x, const char* name, const std::string& otherwise) {
  return x.is_object() && x.contains(name) && x[name].is_string() ? x[name].get<std::string>() : otherwise;
}

}  // namespace sspo::report
