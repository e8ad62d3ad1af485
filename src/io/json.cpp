#include "io/json.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "io/text.hpp"

namespace sspo::io {
namespace {

// A hostile file of 64 MiB would otherwise become gigabytes of values.
constexpr std::size_t most_values = 2'000'000;

// Hands the text to the parser byte by byte and tells how far that has come.
struct Cursor {
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  const char* next;
  const char** reached;
  reference operator*() const { return *next; }
  Cursor& operator++() { *reached = ++next; return *this; }
  bool operator==(const Cursor& o) const { return next == o.next; }
  bool operator!=(const Cursor& o) const { return next != o.next; }
};

// Builds the value from the parser's events.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view text, const Place& place, int max_depth)
      : reached(text.data()), text_(text), place_(place), max_depth_(static_cast<std::size_t>(max_depth)) {}

  bool null() override { return add(nullptr); }
  bool boolean(bool v) override { return add(v); }
  bool number_integer(Json::number_integer_t v) override { return add(v); }
  bool number_unsigned(Json::number_unsigned_t v) override { return add(v); }
  bool number_float(Json::number_float_t v, const std::string&) override { return add(v); }
  bool string(std::string& v) override { return add(std::move(v)); }
  bool binary(Json::binary_t&) override { return false; }  // not in JSON text
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool key(std::string& name) override {
    levels_.back().key = std::move(name);
    levels_.back().key_ends.push_back(offset());
    return true;
  }
  bool end_object() override {
    check_unique(levels_.back());
    levels_.pop_back();
    return true;
  }
  bool end_array() override { levels_.pop_back(); return true; }
  bool parse_error(std::size_t position, const std::string& token, const nlohmann::detail::exception&) override {
    if (position > text_.size()) refuse(text_.size(), "the JSON text ends too early", {}, {});
    refuse(position - 1, "not JSON", {}, "\"" + printable(token, 40) + "\"");
  }

  const char* reached;
  Json root;

 private:
  struct Level {
    Json* value;
    std::string key;                      // of the member that comes next
    std::vector<std::uint32_t> key_ends;  // where each key's text ends
  };

  std::size_t offset() const { return static_cast<std::size_t>(reached - text_.data()); }

  [[noreturn]] void refuse(std::size_t at, std::string what, std::string expected, std::string got) const {
    Place place = place_;
    place.at = "@" + std::to_string(at);
    bad_file(place, std::move(what), std::move(expected), std::move(got));
  }

  template <class T>
  bool add(T&& v) { insert(Json(std::forward<T>(v))); return true; }
  // The address stays good: while a value is open nothing is added beside it.
  Json* insert(Json&& v) {
    if (++values_ > most_values) refuse(offset(), "too many values", "at most " + std::to_string(most_values), {});
    if (levels_.empty()) return &(root = std::move(v));
    Level& level = levels_.back();
    if (level.value->is_array()) {
      auto& items = level.value->get_ref<Json::array_t&>();
      items.push_back(std::move(v));
      return &items.back();
    }
    // Past ordered_map's own insertion, which compares with every key: check_unique does that once, sorted.
    Json::object_t::Container& members = level.value->get_ref<Json::object_t&>();
    members.emplace_back(std::move(level.key), std::move(v));
    return &members.back().second;
  }
  bool open(Json&& v) {
    if (levels_.size() >= max_depth_) refuse(offset(), "nested too deeply", "at most " + std::to_string(max_depth_) + " levels", {});
    levels_.push_back({insert(std::move(v)), {}, {}});
    return true;
  }
  void check_unique(const Level& level) const {
    const Json::object_t::Container& members = level.value->get_ref<Json::object_t&>();
    std::vector<std::uint32_t> order(members.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      const int c = members[a].first.compare(members[b].first);
      return c ? c < 0 : a < b;
    });
    const auto twice = std::adjacent_find(order.begin(), order.end(),
                                          [&](std::uint32_t a, std::uint32_t b) { return members[a].first == members[b].first; });
    if (twice != order.end())
      refuse(level.key_ends[*(twice + 1)], "the key \"" + printable(members[*twice].first) + "\" is there twice in one object", {}, {});
  }

  std::string_view text_;
  const Place& place_;
  std::size_t max_depth_, values_ = 0;
  std::vector<Level> levels_;
};

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

void check_json_bytes(std::string_view text, const Place& place) {
  const std::size_t bad = std::min(find_bad_utf8(text), text.find('\0'));
  if (bad == std::string_view::npos) return;
  Place at = place;
  at.at = "@" + std::to_string(bad);
  if (text[bad] == '\0') bad_file(at, "a NUL byte, which JSON does not have");
  bad_file(at, "not UTF-8", {}, std::string(text.substr(bad, 4)));
}

Json parse_json(std::string_view text, const Place& place, int max_depth) {
  check_json_bytes(text, place);
  Builder builder(text, place, max_depth);
  Json::sax_parse(Cursor{text.data(), &builder.reached}, Cursor{text.data() + text.size(), &builder.reached}, &builder);
  return std::move(builder.root);
}

Json read_json(const std::string& path, std::uint64_t limit) { return parse_json(File(path).text(limit), {.path = path}); }

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
