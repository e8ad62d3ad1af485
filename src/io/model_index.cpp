// The two index files of a model: which tensor lies in which file, and which component is of which class.
#include "io/json.hpp"
#include "sspo/io/model_dir.hpp"

namespace sspo::io {
namespace {

constexpr std::uint64_t most_config_bytes = 16u << 20;

ModelIndex::Component component(const Json& pair, const Place& place) {
  if (pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string())
    bad_file(place, "wrong value", "[library, class], two strings");
  return {pair[0].get<std::string>(), pair[1].get<std::string>()};
}

}  // namespace

ShardIndex parse_shard_index(std::string_view text, const Place& place) {
  const Json root = parse_json(text, place);
  Fields fields(root, place);
  ShardIndex index;
  if (const Json* metadata = fields.raw("metadata")) {
    Fields inner(*metadata, place.in("metadata"));
    if (inner.has("total_size"))
      index.total_size = std::uint64_t(inner.integer("total_size", 0, std::numeric_limits<Index>::max()));
  }
  const Json* map = fields.raw("weight_map");
  if (!map || !map->is_object()) fields.wrong("weight_map", map ? "not an object" : "is missing", "an object: tensor to file");
  for (const auto& [name, file] : map->items()) {
    const Place here = place.in("weight_map").in(name);
    if (!file.is_string()) bad_file(here, "wrong value", "the name of a file");
    check_plain_name(file.get_ref<const std::string&>(), here);
    index.weight_map.emplace(name, file.get<std::string>());
  }
  return index;
}

std::string write_shard_index(const ShardIndex& index) {
  Json root = {{"metadata", Json::object()}, {"weight_map", Json::object()}};
  if (index.total_size) root["metadata"]["total_size"] = *index.total_size;
  Json::object_t::Container& map = root["weight_map"].get_ref<Json::object_t&>();  // its own insertion searches all keys
  for (const auto& [name, file] : index.weight_map) map.emplace_back(name, file);
  return root.dump(2) + "\n";
}

ModelIndex parse_model_index(std::string_view text, const Place& place) {
  const Json root = parse_json(text, place);
  ModelIndex index{Fields(root, place).text("_class_name"), {}};
  for (const auto& [name, value] : root.items()) {
    if (name.starts_with("_") || !value.is_array()) continue;  // "_diffusers_version", "requires_safety_checker": options
    const Place here = place.in(name);
    if (value.size() == 2 && value[0].is_null() && value[1].is_null()) continue;
    check_plain_name(name, here);
    index.components.emplace(name, component(value, here));
  }
  return index;
}

ModelIndex read_model_index(const std::string& folder) {
  const File file(folder + "/model_index.json");
  return parse_model_index(file.text(most_config_bytes), {.path = file.path()});
}

std::string write_model_index(const ModelIndex& index) {
  Json root = {{"_class_name", index.class_name}};
  for (const auto& [name, c] : index.components) root[name] = Json::array({c.library, c.class_name});
  return root.dump(2) + "\n";
}

}  // namespace sspo::io
