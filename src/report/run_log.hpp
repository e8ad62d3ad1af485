// A run folder as it lies on disk: recipe, metrics by step, what else there is.
//   RunLog run("out/run");      run.recipe("optimizer.lr");  run.column("loss");
// Nothing need be there: a part that is missing is empty, and a torn last line is passed over.
#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/json.hpp"

namespace sspo::report {

class RunLog {
 public:
  explicit RunLog(std::filesystem::path folder);
  const std::filesystem::path& folder() const { return folder_; }
  const std::string& recipe_text() const { return recipe_text_; }
  std::string recipe(const std::string& key) const;          // as the file has it, without quotes; "" where it is not set
  const std::vector<double>& steps() const { return steps_; }  // 1, 2, ...
  const std::vector<std::string>& names() const { return names_; }
  bool has(const std::string& name) const { return columns_.count(name) > 0; }
  std::vector<double> column(const std::string& name) const;  // NaN where a step does not tell it
  double total(const std::string& name) const;                // of the values that are told
  double last(const std::string& name) const;                 // NaN: none

 private:
  std::filesystem::path folder_;
  std::string recipe_text_;
  std::map<std::string, std::string> recipe_;
  std::vector<double> steps_;
  std::vector<std::string> names_;  // in the file's order
  std::map<std::string, std::vector<double>> columns_;
};

// A JSON file, if it is there and whole.
std::optional<io::Json> find_json(const std::filesystem::path& path);
// The objects of a file of lines, those that are whole.
std::vector<io::Json> find_lines(const std::filesystem::path& path);
// x[a][b]...: the number there, or NaN.
double number_at(const io::Json& x, std::initializer_list<const char*> path);
std::string text_at(const io::Json& x, const char* name, const std::string& otherwise = {});

}  // namespace sspo::report
