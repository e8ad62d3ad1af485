#include "cli/recipe.hpp"

#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fmt/format.h>

#include "sspo/nn/params.hpp"
#include "sspo/train/objective.hpp"

namespace sspo::cli {
namespace {

constexpr std::uint64_t most_bytes = 1u << 20;
constexpr int deepest = 8;

const RecipeKey* find_key(std::string_view name) {
  for (const RecipeKey& k : recipe_keys())
    if (k.name == name) return &k;
  return nullptr;
}

std::string nearest(const std::string& name) {
  Params names = Params::shapes_only();
  for (const RecipeKey& k : recipe_keys()) names.get(k.name, {}, {});
  return names.nearest(name.substr(0, 128));
}

std::string listed(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& w : words) text += (text.empty() ? "" : ", ") + w;
  return text;
}

std::string number_text(double v) { return io::Json(v).dump().ends_with(".0") && std::abs(v) < 1e15 ? fmt::format("{:.0f}", v) : io::Json(v).dump(); }

std::string expected_of(const RecipeKey& k) {
  if (!k.among.empty()) return "one of " + listed(k.among);
  std::string kind;
  switch (k.type) {
    case KeyType::text:
    case KeyType::choice: return "a text in quotes";
    case KeyType::boolean: return "true or false";
    case KeyType::texts: return "a list of texts";
    case KeyType::integer: kind = "a whole number"; break;
    case KeyType::number: kind = "a number"; break;
    case KeyType::integers: kind = "a list of whole numbers"; break;
  }
  if (k.above_low) kind += " above " + number_text(k.low);
  else if (std::isfinite(k.low)) kind += " from " + number_text(k.low);
  return std::isfinite(k.high) ? kind + (k.above_low ? " and up to " : " to ") + number_text(k.high) : kind;
}

io::Json json_of(const toml::node& node) {
  if (const auto* v = node.as_string()) return io::Json(v->get());
  if (const auto* v = node.as_integer()) return io::Json(v->get());
  if (const auto* v = node.as_floating_point()) return io::Json(v->get());
  if (const auto* v = node.as_boolean()) return io::Json(v->get());
  if (const auto* v = node.as_array()) {
    io::Json list = io::Json::array();
    for (const toml::node& element : *v) list.push_back(json_of(element));
    return list;
  }
  return io::Json(nullptr);  // a date, a table in a list: of no type we know
}

bool in_range(const RecipeKey& k, double v) { return std::isfinite(v) && (k.above_low ? v > k.low : v >= k.low) && v <= k.high; }

bool fits(const RecipeKey& k, const io::Json& v) {
  const auto whole = [&](const io::Json& n) { return n.is_number_integer() && in_range(k, n.get<double>()); };
  const auto every = [&](auto test) { return v.is_array() && !v.empty() && std::all_of(v.begin(), v.end(), test); };
  switch (k.type) {
    case KeyType::text: return v.is_string();
    case KeyType::choice: return v.is_string() && std::find(k.among.begin(), k.among.end(), v.get<std::string>()) != k.among.end();
    case KeyType::boolean: return v.is_boolean();
    case KeyType::integer: return whole(v);
    case KeyType::number: return v.is_number() && in_range(k, v.get<double>());
    case KeyType::integers: return every(whole);
    case KeyType::texts: return every([](const io::Json& t) { return t.is_string(); });
  }
  return false;
}

using Given = TomlValue;

// `any`: of any names; else empty tables are held against the keys of training.
void flatten(const toml::table& table, const std::string& prefix, int depth, const std::string& path, std::vector<Given>& out, bool any = false) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix + (prefix.empty() ? "" : ".") + std::string(key.str()), at = fmt::format(":{}", node.source().begin.line);
    if (const toml::table* inner = node.as_table()) {
      if (depth >= deepest) io::bad_file({.path = path, .at = at, .field = name}, "too deep", fmt::format("at most {} levels", deepest));
      if (inner->empty() && !any && !find_key(name)) {  // [optimiser] with nothing in it is a slip, too
        const bool known = std::any_of(recipe_keys().begin(), recipe_keys().end(), [&](const RecipeKey& k) { return k.name.starts_with(name + "."); });
        if (!known) io::bad_file({.path = path, .at = at, .field = name}, "unknown key", {}, {}, nearest(name));
      }
      flatten(*inner, name, depth + 1, path, out, any);
    } else {
      out.push_back({name, json_of(node), at});
    }
  }
}

toml::table parse_toml(std::string_view text, const std::string& path) {
  try {
    return toml::parse(text, path);
  } catch (const toml::parse_error& e) {
    io::bad_file({.path = path, .at = fmt::format(":{}", e.source().begin.line)}, "no TOML: " + std::string(e.description()));
  }
}

std::vector<Given> parse_setting(const std::string& setting) {
  const std::size_t equal = setting.find('=');
  if (equal == setting.npos || equal == 0) io::bad_file({.path = "--set"}, "no setting", "key=value", setting);
  const std::string name = setting.substr(0, equal), value = setting.substr(equal + 1);
  std::vector<Given> out;
  try {
    const toml::table table = toml::parse("value = " + value);
    flatten(table, "", 0, "--set", out);
    if (out.size() == 1 && out[0].name == "value") return {{name, out[0].value, ""}};
  } catch (const toml::parse_error&) {  // a word without quotes
  }
  return {{name, io::Json(value), ""}};
}

// Keys of one kind of optimizer.
std::vector<std::string> foreign_optimizer_keys(const Recipe& r) {
  if (r.text("optimizer.kind") == "adafactor") return {"optimizer.beta1", "optimizer.beta2", "optimizer.eps"};
  return {"optimizer.clip_threshold", "optimizer.decay_rate", "optimizer.scale_parameter"};
}

// What no single key can tell.
void check_together(const Recipe& r) {
  const auto both = [&](const char* a, const char* b) {
    if (r.given(a) && r.given(b)) r.wrong(b, fmt::format("contradicts {}", a), "one of the two");
  };
  both("preference.beta", "preference.kappa");
  both("lr.warmup", "lr.warmup_share");
  const Index batch = r.integer("train.batch"), micro = r.integer("train.micro_batch");
  if (micro > batch || (micro && batch % micro)) r.wrong("train.micro_batch", "does not divide train.batch", fmt::format("a divisor of {}", batch), std::to_string(micro));
  const bool folder = r.text("data.kind") == "folder";
  if (folder && r.text("data.path").empty()) r.wrong("data.path", "is missing", "a folder of captioned pictures", {}, "or data.kind = \"shapes\"");
  for (const char* key : {"data.path", "data.where"})
    if (!folder && r.given(key)) r.wrong(key, "contradicts data.kind = \"shapes\"");
  for (const char* key : {"data.count", "data.seed"})
    if (folder && r.given(key)) r.wrong(key, "contradicts data.kind = \"folder\"");
  for (const std::string& key : foreign_optimizer_keys(r))
    if (r.given(key)) r.wrong(key, "has no meaning for optimizer.kind = \"" + r.text("optimizer.kind") + "\"");
  if (r.given("train.masters") && r.text("train.dtype") == "f32" && r.text("train.masters") == "disk")
    r.wrong("train.masters", "f32 weights are their own masters", "train.dtype = \"bf16\"", "\"f32\"");
  if (r.kind() == judge) {
    if (!folder) r.wrong("data.kind", "a judge learns styles", "\"folder\", with the field style in each row", "\"shapes\"");
    if (micro) r.wrong("train.micro_batch", "a judge's captions are told apart within the batch", "0", std::to_string(micro));
  }
  const bool lora = r.has("lora.rank") && r.integer("lora.rank") > 0;
  for (const char* key : {"lora.alpha", "lora.targets", "lora.merge"})
    if (!lora && r.given(key)) r.wrong(key, "has no meaning without lora.rank", "lora.rank above 0");
  if (lora && r.kind() == pretrain && r.given("pretrain.train_text_encoder") && r.boolean("pretrain.train_text_encoder"))
    r.wrong("pretrain.train_text_encoder", "contradicts lora.rank: only the UNet's adapters are trained", "false", "true");
  if (r.kind() == preference) {
    const Objective& o = objective_named(r.text("objective"));
    if (o.second == SecondImage::annotated_loser && !folder) r.wrong("objective", fmt::format("{} needs annotated pairs", o.name), "data.kind = \"folder\"", "shapes");
    if (!o.gated && r.given("preference.gate")) r.wrong("preference.gate", fmt::format("{} has no gate", o.name));
    if (o.second == SecondImage::none)
      for (const char* key : {"preference.reference", "preference.draw", "preference.loaded"})
        if (r.given(key)) r.wrong(key, fmt::format("{} has no reference", o.name));
    const ReferencePolicy policy = r.has("preference.reference") ? reference_policy_named(r.text("preference.reference")) : o.reference;
    if (r.text("preference.draw") != "phase" && policy != ReferencePolicy::uniform)
      r.wrong("preference.draw", "nothing is drawn: the reference of a phase is one checkpoint", "preference.reference = \"uniform\"", std::string(name_of(policy)));
  }
}

// Defaults that nothing looks at, beside what was given: the resolved recipe leaves them out, and so stays free of contradictions.
std::vector<std::string> idle_keys(const Recipe& r) {
  std::vector<std::string> keys = r.text("data.kind") == "folder" ? std::vector<std::string>{"data.count", "data.seed"} : std::vector<std::string>{"data.path", "data.where"};
  for (const std::string& key : foreign_optimizer_keys(r)) keys.push_back(key);
  if (r.text("train.dtype") == "f32") keys.emplace_back("train.masters");
  keys.emplace_back(r.given("lr.warmup") ? "lr.warmup_share" : "lr.warmup");
  if (r.has("lora.rank") && r.integer("lora.rank") > 0) keys.emplace_back("pretrain.train_text_encoder");
  else keys.insert(keys.end(), {"lora.alpha", "lora.targets", "lora.merge"});
  if (r.kind() == preference) {
    if (r.given("preference.kappa")) keys.emplace_back("preference.beta");
    if (objective_named(r.text("objective")).second == SecondImage::none) keys.insert(keys.end(), {"preference.draw", "preference.loaded"});
    if (!objective_named(r.text("objective")).gated) keys.insert(keys.end(), {"preference.gate", "preference.tie"});
  }
  return keys;
}

// The file that `base` names, beside this one: its keys come first, and this file's change them. What makes the base's objective is
// none of another objective's business.
std::vector<Given> given_by_base(const toml::table& table, const std::string& path) {
  std::vector<Given> given;
  const toml::node* const name = table.get("base");
  if (!name) return given;
  const io::Place place{.path = path, .at = fmt::format(":{}", name->source().begin.line), .field = "base"};
  if (!name->is_string()) io::bad_file(place, "wrong value", "the name of a recipe");
  const std::string base = (std::filesystem::path(path).parent_path() / name->as_string()->get()).string();
  const toml::table inner = parse_toml(io::File(base).text(most_bytes), base);
  if (inner.contains("base")) io::bad_file(place, "a base that has a base itself", "a whole recipe", base);
  flatten(inner, "", 0, base, given);
  for (Given& g : given) g.at = fmt::format(" ({}{})", base, g.at);
  if (table.contains("objective"))
    std::erase_if(given, [](const Given& g) {
      static const std::set<std::string> of_objective = {"preference.gate", "preference.tie", "preference.reference", "preference.draw", "preference.loaded"};
      return of_objective.count(g.name) > 0;
    });
  return given;
}

}  // namespace

std::vector<TomlValue> read_toml(const std::string& path, const std::vector<std::string>& settings) {
  std::vector<TomlValue> all;
  flatten(parse_toml(io::File(path).text(most_bytes), path), "", 0, path, all, true);
  for (const std::string& s : settings)
    for (TomlValue& one : parse_setting(s)) one.at = " --set", all.push_back(std::move(one));
  return all;
}

Recipe parse_recipe(std::string_view text, const std::string& path, const std::vector<std::string>& settings) {
  Recipe r;
  r.path_ = path;
  toml::table table = parse_toml(text, path);
  std::vector<Given> given = given_by_base(table, path);
  table.erase("base");
  flatten(table, "", 0, path, given);
  const std::size_t in_file = given.size();
  for (const std::string& s : settings) {
    const std::vector<Given> one = parse_setting(s);
    given.insert(given.end(), one.begin(), one.end());
  }
  for (std::size_t i = 0; i < given.size(); ++i) {
    const Given& g = given[i];
    const io::Place place{.path = i < in_file ? path : "--set", .at = g.at, .field = g.name};
    const RecipeKey* k = find_key(g.name);
    if (!k) io::bad_file(place, "unknown key", {}, {}, nearest(g.name));
    if (!fits(*k, g.value)) io::bad_file(place, "wrong value", expected_of(*k), g.value.is_null() ? "of another type" : g.value.dump());
    r.values_[g.name] = g.value;
    r.where_[g.name] = i < in_file ? g.at : " --set";
  }
  if (!r.has("objective")) io::bad_file({.path = path, .field = "objective"}, "is missing", expected_of(*find_key("objective")));
  const std::string objective = r.text("objective");
  r.kind_ = objective == "pretrain-vae" ? pretrain_vae : objective == "pretrain" ? pretrain : objective == "judge" ? judge : preference;
  for (const auto& [name, where] : r.where_)
    if (!(find_key(name)->kinds & r.kind_)) r.wrong(name, "has no meaning for the objective " + objective);
  for (const RecipeKey& k : recipe_keys())
    if ((k.kinds & r.kind_) && !r.values_.count(k.name) && k.fallback != "null") r.values_[k.name] = io::Json::parse(k.fallback);
  check_together(r);
  for (const std::string& key : idle_keys(r)) r.values_.erase(key);
  return r;
}

Recipe read_recipe(const std::string& path, const std::vector<std::string>& settings) { return parse_recipe(io::File(path).text(most_bytes), path, settings); }

bool Recipe::has(std::string_view key) const { return values_.find(key) != values_.end(); }
bool Recipe::given(std::string_view key) const { return where_.find(key) != where_.end(); }
bool Recipe::section(std::string_view prefix) const {
  return std::any_of(where_.begin(), where_.end(), [&](const auto& w) { return std::string_view(w.first).substr(0, prefix.size()) == prefix; });
}

const io::Json& Recipe::value(std::string_view key) const {
  const auto it = values_.find(key);
  if (it == values_.end()) fail({.op = "recipe", .what = "no such value", .got = std::string(key), .kind = ErrorKind::internal}, Site{});
  return it->second;
}
std::string Recipe::text(std::string_view key) const { return value(key).get<std::string>(); }
Index Recipe::integer(std::string_view key) const { return value(key).get<Index>(); }
double Recipe::number(std::string_view key) const { return value(key).get<double>(); }
bool Recipe::boolean(std::string_view key) const { return value(key).get<bool>(); }

io::Place Recipe::place(std::string_view key) const {
  const auto it = where_.find(key);
  const bool set = it != where_.end() && it->second == " --set";
  return {.path = set ? "--set" : path_, .at = it == where_.end() || set ? "" : it->second, .field = std::string(key)};
}

void Recipe::wrong(std::string_view key, std::string what, std::string expected, std::string got, std::string hint) const {
  io::bad_file(place(key), std::move(what), std::move(expected), std::move(got), std::move(hint));
}

std::string Recipe::resolved() const {
  std::string text;
  for (const RecipeKey& k : recipe_keys())
    if ((k.kinds & kind_) && has(k.name)) {
      const io::Json& v = value(k.name);
      text += k.name + " = " + (k.type == KeyType::number && v.is_number_integer() ? io::Json(v.get<double>()) : v).dump() + "\n";
    }
  return text;
}

}  // namespace sspo::cli
