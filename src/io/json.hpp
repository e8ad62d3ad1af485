// JSON files, strict: UTF-8, no duplicate keys, bounded depth; and typed reading of an object's fields.
//   const Json config = parse_json(text, {.path = path});
//   Fields f(config, {.path = path});
//   const Index layers = f.integer("layers_per_block", 1, 64, 2);     // a default makes it optional
#pragma once
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "sspo/base/config.hpp"
#include "sspo/io/file.hpp"

namespace sspo::io {

using Json = nlohmann::ordered_json;  // keeps the file's order of keys

// Throws Error{file} with the byte offset: syntax, UTF-8, a key twice in one object, deeper than max_depth.
Json parse_json(std::string_view text, const Place& place, int max_depth = 128);
Json read_json(const std::string& path, std::uint64_t limit = 16u << 20);

// The fields of one object. Every getter checks presence (unless a default is given; null counts as absent), type and
// range, and names the field in its Error. unread() lists the keys no getter asked for.
class Fields {
 public:
  Fields(const Json& object, Place place);  // throws unless it is an object
  bool has(std::string_view name) const;    // present and not null
  Index integer(std::string_view name, Index low, Index high, std::optional<Index> fallback = {});
  double number(std::string_view name, double low, double high, std::optional<double> fallback = {});  // finite
  bool boolean(std::string_view name, std::optional<bool> fallback = {});
  std::string text(std::string_view name, std::optional<std::string> fallback = {});
  std::string choice(std::string_view name, const std::vector<std::string>& among, std::optional<std::string> fallback = {});
  std::vector<Index> integers(std::string_view name, Index low, Index high, std::optional<std::vector<Index>> fallback = {});
  std::vector<double> numbers(std::string_view name, double low, double high, std::optional<std::vector<double>> fallback = {});
  std::vector<std::string> texts(std::string_view name, std::optional<std::vector<std::string>> fallback = {});
  const Json* raw(std::string_view name);   // null if absent
  [[noreturn]] void wrong(std::string_view name, std::string what, std::string expected = {}, std::string got = {}) const;
  std::vector<std::string> unread() const;

 private:
  const Json* value(std::string_view name, bool optional, const std::string& expected);  // null: the fallback serves
  const Json& object_;
  Place place_;
  std::vector<std::string> read_;
};

}  // namespace sspo::io
