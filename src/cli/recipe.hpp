// Recipes: what a training run is, as TOML. Every key stands in one table (recipe_keys) with its type, default, range and meaning.
//   const Recipe r = read_recipe("recipes/tiny.toml", {"optimizer.lr=3e-4"});
//   r.text("objective"), r.integer("train.batch"), r.number("optimizer.lr")
// Errors are one line: PATH:LINE: key: what (expected, got); the nearest keys where one is unknown.
#pragma once
#include <limits>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.hpp"

namespace sspo::cli {

enum class KeyType { text, choice, integer, number, boolean, integers, texts };
enum Kind : unsigned { pretrain_vae = 1, pretrain = 2, preference = 4, judge = 8, all_kinds = 15 };  // which objectives look at a key

struct RecipeKey {
  std::string name;          // "train.batch"
  KeyType type;
  std::string fallback;      // as JSON; "null": not set
  std::string what;          // for people
  unsigned kinds = all_kinds;
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  std::vector<std::string> among = {};
  bool above_low = false;    // low itself is not allowed
};
const std::vector<RecipeKey>& recipe_keys();

class Recipe {
 public:
  Kind kind() const { return kind_; }
  bool has(std::string_view key) const;            // set: given, or by its default
  bool given(std::string_view key) const;          // in the file, or by --set
  bool section(std::string_view prefix) const;     // any key that begins so was given
  std::string text(std::string_view key) const;
  Index integer(std::string_view key) const;
  double number(std::string_view key) const;
  bool boolean(std::string_view key) const;
  const io::Json& value(std::string_view key) const;
  // All keys of this objective that are set, one `key = value` a line, in the table's order: a recipe again.
  std::string resolved() const;
  io::Place place(std::string_view key) const;     // where it was given
  [[noreturn]] void wrong(std::string_view key, std::string what, std::string expected = {}, std::string got = {}, std::string hint = {}) const;

 private:
  friend Recipe parse_recipe(std::string_view, const std::string&, const std::vector<std::string>&);
  std::string path_;
  Kind kind_ = pretrain;
  std::map<std::string, io::Json, std::less<>> values_;
  std::map<std::string, std::string, std::less<>> where_;  // ":12", or " --set", of those given
};

// A file whose first key is base = "other.toml" (beside it) is that recipe with its own keys changed.
// settings: "a.b=c", c in TOML; what is none (a name without quotes) is taken as text. Error{file}.
Recipe read_recipe(const std::string& path, const std::vector<std::string>& settings = {});
Recipe parse_recipe(std::string_view toml, const std::string& path, const std::vector<std::string>& settings = {});

// A TOML file without tables: "eval.steps" and its value, in the file's order; settings after it. Error{file}: no TOML, too deep.
struct TomlValue {
  std::string name;
  io::Json value;  // null: of no type that recipes know
  std::string at;  // ":12" or " --set"
};
std::vector<TomlValue> read_toml(const std::string& path, const std::vector<std::string>& settings = {});

}  // namespace sspo::cli
