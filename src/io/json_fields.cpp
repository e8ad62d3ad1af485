#include <algorithm>
#include <charconv>
#include <cmath>

#include "io/json.hpp"

namespace sspo::io {
namespace {

std::string text_of(double v) {
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof digits, v).ptr};
}

std::string describe(const Json& v) {
  switch (v.type()) {
    case Json::value_t::null: return "null";
    case Json::value_t::boolean: return v.get<bool>() ? "true" : "false";
    case Json::value_t::number_integer: return std::to_string(v.get<std::int64_t>());
    case Json::value_t::number_unsigned: return std::to_string(v.get<std::uint64_t>());
    case Json::value_t::number_float: return text_of(v.get<double>());
    case Json::value_t::string: return "\"" + printable(v.get_ref<const std::string&>(), 60) + "\"";
    case Json::value_t::array: return "an array of " + std::to_string(v.size());
    default: return "an object";
  }
}

template <class T>
std::string range_text(const char* kind, T low, T high) {
  const auto text = [](T v) { if constexpr (std::is_integral_v<T>) return std::to_string(v); else return text_of(v); };
  return std::string(kind) + " from " + text(low) + " to " + text(high);
}

std::optional<Index> as_integer(const Json& v, Index low, Index high) {
  if (!v.is_number_integer()) return {};
  if (v.is_number_unsigned() && v.get<std::uint64_t>() > std::uint64_t(std::numeric_limits<Index>::max())) return {};
  const Index n = v.get<Index>();
  return n >= low && n <= high ? std::optional(n) : std::nullopt;
}

std::optional<double> as_number(const Json& v, double low, double high) {
  if (!v.is_number()) return {};
  const double n = v.get<double>();
  return std::isfinite(n) && n >= low && n <= high ? std::optional(n) : std::nullopt;
}

std::optional<std::string> as_text(const Json& v) { return v.is_string() ? std::optional(v.get<std::string>()) : std::nullopt; }

// The elements of an array, each through `convert`; a wrong one is named by its index.
template <class T, class Convert>
std::vector<T> elements(const Json& v, const Place& place, const std::string& expected, Convert convert) {
  if (!v.is_array()) bad_file(place, "not an array", "an array of: " + expected, describe(v));
  std::vector<T> out;
  for (std::size_t i = 0; i < v.size(); ++i) {
    std::optional<T> element = convert(v[i]);
    if (!element) {
      Place at = place;
      at.field += "[" + std::to_string(i) + "]";
      bad_file(at, "wrong value", expected, describe(v[i]));
    }
    out.push_back(std::move(*element));
  }
  return out;
}

}  // namespace

Fields::Fields(const Json& object, Place place) : object_(object), place_(std::move(place)) {
  if (!object.is_object()) bad_file(place_, "not an object", "a JSON object {...}", describe(object));
}

bool Fields::has(std::string_view name) const {
  const auto it = object_.find(name);
  return it != object_.end() && !it->is_null();
}

const Json* Fields::raw(std::string_view name) {
  if (std::find(read_.begin(), read_.end(), name) == read_.end()) read_.emplace_back(name);
  const auto it = object_.find(name);
  return it != object_.end() && !it->is_null() ? &*it : nullptr;
}

const Json* Fields::value(std::string_view name, bool optional, const std::string& expected) {
  const Json* v = raw(name);
  if (!v && !optional) wrong(name, "is missing", expected);
  return v;
}

Index Fields::integer(std::string_view name, Index low, Index high, std::optional<Index> fallback) {
  const std::string expected = range_text("a whole number", low, high);
  const Json* v = value(name, fallback.has_value(), expected);
  if (!v) return *fallback;
  const std::optional<Index> n = as_integer(*v, low, high);
  if (!n) wrong(name, "wrong value", expected, describe(*v));
  return *n;
}

double Fields::number(std::string_view name, double low, double high, std::optional<double> fallback) {
  const std::string expected = range_text("a number", low, high);
  const Json* v = value(name, fallback.has_value(), expected);
  if (!v) return *fallback;
  const std::optional<double> n = as_number(*v, low, high);
  if (!n) wrong(name, "wrong value", expected, describe(*v));
  return *n;
}

bool Fields::boolean(std::string_view name, std::optional<bool> fallback) {
  const Json* v = value(name, fallback.has_value(), "true or false");
  if (!v) return *fallback;
  if (!v->is_boolean()) wrong(name, "wrong value", "true or false", describe(*v));
  return v->get<bool>();
}

std::string Fields::text(std::string_view name, std::optional<std::string> fallback) {
  const Json* v = value(name, fallback.has_value(), "a string");
  if (!v) return *fallback;
  if (!v->is_string()) wrong(name, "wrong value", "a string", describe(*v));
  return v->get<std::string>();
}

std::string Fields::choice(std::string_view name, const std::vector<std::string>& among, std::optional<std::string> fallback) {
  std::string expected = "one of";
  for (const std::string& option : among) expected += (&option == &among[0] ? " " : ", ") + option;
  const Json* v = value(name, fallback.has_value(), expected);
  if (!v) return *fallback;
  if (!v->is_string() || std::find(among.begin(), among.end(), v->get_ref<const std::string&>()) == among.end())
    wrong(name, "wrong value", expected, describe(*v));
  return v->get<std::string>();
}

std::vector<Index> Fields::integers(std::string_view name, Index low, Index high, std::optional<std::vector<Index>> fallback) {
  const std::string expected = range_text("a whole number", low, high);
  const Json* v = value(name, fallback.has_value(), "an array of: " + expected);
  if (!v) return *std::move(fallback);
  return elements<Index>(*v, place_.in(name), expected, [&](const Json& e) { return as_integer(e, low, high); });
}

std::vector<double> Fields::numbers(std::string_view name, double low, double high, std::optional<std::vector<double>> fallback) {
  const std::string expected = range_text("a number", low, high);
  const Json* v = value(name, fallback.has_value(), "an array of: " + expected);
  if (!v) return *std::move(fallback);
  return elements<double>(*v, place_.in(name), expected, [&](const Json& e) { return as_number(e, low, high); });
}

std::vector<std::string> Fields::texts(std::string_view name, std::optional<std::vector<std::string>> fallback) {
  const Json* v = value(name, fallback.has_value(), "an array of strings");
  if (!v) return *std::move(fallback);
  return elements<std::string>(*v, place_.in(name), "a string", as_text);
}

void Fields::wrong(std::string_view name, std::string what, std::string expected, std::string got) const {
  bad_file(place_.in(name), std::move(what), std::move(expected), std::move(got));
}

std::vector<std::string> Fields::unread() const {
  std::vector<std::string> names;
  for (const auto& [name, v] : object_.items())
    if (std::find(read_.begin(), read_.end(), name) == read_.end()) names.push_back(name);
  return names;
}

}  // namespace sspo::io
