#include "io/json.hpp"

#include <algorithm>
#include <numeric>

#include "io/json_events.hpp"

namespace sspo::io {
namespace {

// A hostile file of 64 MiB would otherwise become gigabytes of values.
constexpr std::size_t most_values = 2'000'000;

// Builds the value from the parser's events.
class Builder final : public JsonEvents {
 public:
  Builder(std::string_view text, const Place& place, int max_depth)
      : JsonEvents(text, place), max_depth_(static_cast<std::size_t>(max_depth)) {}

  bool null() override { return add(nullptr); }
  bool boolean(bool v) override { return add(v); }
  bool number_integer(Json::number_integer_t v) override { return add(v); }
  bool number_unsigned(Json::number_unsigned_t v) override { return add(v); }
  bool number_float(Json::number_float_t v, const std::string&) override { return add(v); }
  bool string(std::string& v) override { return add(std::move(v)); }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool key(std::string& name) override {
    levels_.back().key = std::move(name);
    levels_.back().key_ends.push_back(static_cast<std::uint32_t>(offset()));
    return true;
  }
  bool end_object() override {
    check_unique(levels_.back());
    levels_.pop_back();
    return true;
  }
  bool end_array() override { levels_.pop_back(); return true; }

  Json root;

 private:
  struct Level {
    Json* value;
    std::string key;                      // of the member that comes next
    std::vector<std::uint32_t> key_ends;  // where each key's text ends
  };

  template <class T>
  bool add(T&& v) { insert(Json(std::forward<T>(v))); return true; }
  // The address stays good: while a value is open nothing is added beside it.
  Json* insert(Json&& v) {
    if (++values_ > most_values) refuse(offset(), place_.field, "too many values", "at most " + std::to_string(most_values));
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
    if (levels_.size() >= max_depth_) refuse(offset(), place_.field, "nested too deeply", "at most " + std::to_string(max_depth_) + " levels");
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
      refuse(level.key_ends[*(twice + 1)], place_.field, "the key \"" + printable(members[*twice].first) + "\" is there twice in one object");
  }

  std::size_t max_depth_, values_ = 0;
  std::vector<Level> levels_;
};

}  // namespace

Json parse_json(std::string_view text, const Place& place, int max_depth) {
  check_json_bytes(text, place);
  Builder builder(text, place, max_depth);
  read_events(text, builder);
  return std::move(builder.root);
}

Json read_json(const std::string& path, std::uint64_t limit) { return parse_json(File(path).text(limit), {.path = path}); }

}  // namespace sspo::io
