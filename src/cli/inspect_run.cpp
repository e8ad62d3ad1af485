// What a training run leaves: checkpoints, the replay pool, stores of tensors, and the run's folder with all of them.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>

#include "cli/inspection.hpp"
#include "cli/recipe.hpp"
#include "cli/signals.hpp"
#include "cli/train_optimizer.hpp"
#include "sspo/io/hash.hpp"
#include "sspo/io/manifest.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

std::string last_name(const std::string& path) { return io::printable(fs::path(path).filename().string(), 255); }
std::string shown(const std::string& path) { return io::printable(path, 4096); }

// The number in "step-12", "12", "000012.safetensors", or -1.
Index number_in(std::string name, std::string_view before, std::string_view after = "") {
  if (!name.starts_with(before) || !name.ends_with(after) || name.size() <= before.size() + after.size()) return -1;
  name = name.substr(before.size(), name.size() - before.size() - after.size());
  const bool digits = name.size() < 18 && std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
  return digits ? std::stoll(name) : -1;
}

std::vector<std::string> folders_in(const std::string& folder) {  // by name
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_directory(ignored)) names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::pair<Index, std::string>> numbered(const std::string& folder, std::string_view before) {  // ascending
  std::vector<std::pair<Index, std::string>> all;
  for (const std::string& name : folders_in(folder))
    if (const Index n = number_in(name, before); n >= 0) all.push_back({n, folder + "/" + name});
  std::sort(all.begin(), all.end());
  return all;
}

// A part of a run: what is wrong with it is told, and the rest looked at.
io::Json part_json(const std::string& path, const std::function<Inspection(const std::string&)>& look) {
  try {
    io::Json json = look(path).json;
    json["path"] = last_name(path);
    return json;
  } catch (const Error& e) {
    if (e.info().kind != ErrorKind::file && e.info().kind != ErrorKind::io) throw;
    return {{"path", last_name(path)}, {"damaged", io::printable(e.what(), 1000)}};
  }
}

std::string line_of(const io::Json& part) {
  if (part.contains("damaged")) return "DAMAGED: " + part["damaged"].get<std::string>();
  std::string text;
  for (const char* name : {"rows", "bytes"})
    if (const auto it = part.find(name); it != part.end()) text += (text.empty() ? "" : ", ") + (name[0] == 'r' ? it->dump() + " rows" : size_text(it->get<std::uint64_t>()));
  if (const auto it = part.find("about"); it != part.end())
    for (const auto& [key, value] : it->items()) text += "; " + io::printable(key) + " " + io::printable(value.get<std::string>(), 40);
  return text;
}

Inspection listed(const char* kind, const char* title, const std::string& path, io::Json parts) {
  std::uint64_t rows = 0, bytes = 0, damaged = 0;
  Inspection r;
  for (const io::Json& p : parts) {
    rows += p.value("rows", std::uint64_t(0)), bytes += p.value("bytes", std::uint64_t(0)), damaged += p.contains("damaged");
    r.text += fmt::format("{:<24} {}\n", p["path"].get<std::string>(), line_of(p));
  }
  r.text = fmt::format("{}: {} {}, {}{}\n", shown(path), parts.size(), title, size_text(bytes), damaged ? fmt::format(", {} DAMAGED", damaged) : "") + r.text;
  r.json = {{"kind", kind}, {"path", shown(path)}, {"count", parts.size()}};
  if (rows) r.json["rows"] = rows;
  r.json.update({{"bytes", bytes}, {"damaged", damaged}, {"parts", std::move(parts)}});
  return r;
}

io::Json last_line(const std::string& path) {  // of metrics; what a killed process tore is passed over
  if (!exists(path)) return {};
  const std::string all = io::File(path).text(std::uint64_t(4) << 30);
  for (std::size_t end = all.rfind('\n'); end != all.npos && end > 0;) {
    const std::size_t begin = all.rfind('\n', end - 1) + 1;  // npos + 1 is 0
    try {
      return io::parse_json(std::string_view(all).substr(begin, end - begin), {.path = path});
    } catch (const Error&) {
      if (begin == 0) break;
      end = begin - 1;
    }
  }
  return {};
}

}  // namespace

Inspection inspect_manifest(const std::string& folder) {
  const io::Manifest m = io::verify_folder(folder);
  io::Json about = m.about, files = io::Json::array();
  std::uint64_t bytes = 0;
  std::string lines;
  for (const auto& [name, entry] : m.files) {
    bytes += entry.size;
    files.push_back({{"file", name}, {"bytes", entry.size}, {"sha256", entry.sha256}});
    lines += fmt::format("sha256    {}  {} ({})\n", entry.sha256, io::printable(name, 4096), size_text(entry.size));
  }
  const auto kind = m.about.find("kind");
  const bool checkpoint = kind != m.about.end() && kind->second == "checkpoint";
  Inspection r;
  r.json = {{"kind", checkpoint ? "checkpoint" : "folder with a manifest"}, {"path", shown(folder)}, {"bytes", bytes}, {"about", about}, {"files", files}};
  r.text = fmt::format("{}: {}, {} files as their manifest says, {}\n", shown(folder), checkpoint ? "checkpoint" : "folder", m.files.size(), size_text(bytes));
  for (const auto& [key, value] : m.about) r.text += fmt::format("{:<15} {}\n", io::printable(key), io::printable(value, 400));
  r.text += lines;
  if (checkpoint) {
    const Totals totals(io::open_weights(folder + "/params.safetensors"));
    r.json["totals"] = totals.json();
    r.text += "weights   " + totals.text() + "\n";
    const io::Weights states = io::open_weights(folder + "/optimizer.safetensors");
    std::set<std::string> names;  // "m" of "m.unet.conv_in.weight"
    for (const std::string& name : states.names()) names.insert(name.substr(0, name.find('.')));
    const auto optimizer = m.about.find("optimizer");
    const std::string of = optimizer == m.about.end() ? "adamw" : optimizer->second;  // checkpoints name it since there are several
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + io::printable(name);
    r.json["states"] = {{"optimizer", io::printable(of)}, {"names", names}, {"totals", Totals(states).json()}};
    r.text += "states    " + io::printable(of) + ": " + list + "; " + Totals(states).text() + "\n";
  }
  return r;
}

Inspection inspect_store(const std::string& folder) {
  io::Json about = io::Json::object();
  std::uint64_t rows = 0, bytes = 0;
  std::string shape;
  for (const std::string& name : files_in(folder)) {
    if (number_in(name, "", ".safetensors") < 0) continue;
    stop_if_interrupted();
    const io::Safetensors file(folder + "/" + name);
    for (const auto& [key, value] : file.metadata())
      if (!key.starts_with("sha256.")) about[key] = value;
    bytes += io::File(file.path()).size();
    for (const io::StoredTensor& t : file.tensors()) {
      const Tensor x = file.load(t);
      const auto digest = file.metadata().find("sha256." + t.name);
      const std::string_view numbers(static_cast<const char*>(x.raw()), std::size_t(x.numel()) * size_of(x.dtype()));
      if (digest == file.metadata().end() || digest->second != io::sha256_hex(numbers))
        io::bad_file({.path = file.path(), .field = t.name}, "the row is damaged", {}, {}, "remove the file: it is made again");
      ++rows, shape = t.str();
    }
  }
  Inspection r;
  r.json = {{"kind", "tensor store"}, {"path", shown(folder)}, {"rows", rows}, {"row", shape}, {"bytes", bytes}, {"about", about}};
  r.text = fmt::format("{}: store of {} tensors {}, {}\n", shown(folder), rows, shape, size_text(bytes));
  for (const auto& [key, value] : about.items()) r.text += fmt::format("{:<10} {}\n", io::printable(key), io::printable(value.get<std::string>(), 400));
  return r;
}

Inspection inspect_list(const std::string& folder) {
  io::Json parts = io::Json::array();
  const auto add_all = [&](const std::vector<std::pair<Index, std::string>>& found) { for (const auto& [n, path] : found) parts.push_back(part_json(path, inspect_manifest)); };
  if (const auto steps = numbered(folder, "step-"); !steps.empty()) {
    add_all(steps);
    return listed("checkpoints", "checkpoints", folder, parts);
  }
  if (const auto policies = numbered(folder, ""); !policies.empty()) {
    add_all(policies);
    return listed("pool", "policies", folder, parts);
  }
  for (const std::string& name : folders_in(folder)) parts.push_back(part_json(folder + "/" + name, inspect_store));
  return listed("tensor stores", "stores", folder, parts);
}

ListKind list_kind(const std::string& folder) {
  if (!numbered(folder, "step-").empty()) return ListKind::list;
  for (const auto& [n, path] : numbered(folder, ""))
    if (exists(path + "/MANIFEST.json")) return ListKind::list;
  const auto is_store = [](const std::string& path) {
    const std::vector<std::string> files = files_in(path);
    return std::any_of(files.begin(), files.end(), [](const std::string& f) { return f.size() == 18 && number_in(f, "", ".safetensors") >= 0; });
  };
  if (is_store(folder)) return ListKind::store;
  for (const std::string& name : folders_in(folder))
    if (is_store(folder + "/" + name)) return ListKind::list;
  return ListKind::none;
}

Inspection inspect_run(const std::string& folder) {
  const Recipe recipe = read_recipe(folder + "/recipe.toml");
  const Index total = recipe.kind() == preference ? recipe.integer("preference.phases") * recipe.integer("preference.updates") : recipe.integer("train.steps");
  const io::Json metrics = last_line(folder + "/metrics.jsonl");
  const Index done = metrics.is_object() ? metrics.value("step", Index(0)) : 0;
  const bool model = exists(folder + "/model"), lora = exists(folder + "/lora");
  Inspection r;
  r.json = {{"kind", "run"}, {"path", shown(folder)}, {"objective", recipe.text("objective")}, {"seed", recipe.integer("seed")}, {"optimizer", recipe.text("optimizer.kind")}, {"masters", masters_on_disk(recipe) ? "disk" : "memory"}, {"steps", total}, {"done", done}, {"model", model}, {"lora", lora}};
  r.text = fmt::format("{}: run of {}, seed {}, optimizer {}{}, {} of {} steps{}\n", shown(folder), recipe.text("objective"), recipe.integer("seed"), recipe.text("optimizer.kind"),
                       masters_on_disk(recipe) ? ", masters on disk" : "", done, total, model ? ", model exported" : lora ? ", LoRA exported" : "");
  std::uint64_t damaged = 0;
  for (const char* name : {"checkpoints", "pool", "self-samples", "cache"}) {
    const std::string path = folder + "/" + name;
    if (!exists(path)) continue;
    Inspection part = inspect_list(path);
    damaged += part.json["damaged"].get<std::uint64_t>();
    r.text += fmt::format("{:<12} {}", name, part.text.substr(shown(path).size() + 2));
    r.json[name] = std::move(part.json);
  }
  for (const auto& [there, name, key] : {std::tuple{model, "model", "exported"}, {lora, "lora", "adapters"}}) {
    if (!there) continue;
    r.json[key] = part_json(folder + "/" + name, inspect_manifest);
    damaged += r.json[key].contains("damaged");
    r.text += fmt::format("{:<12} {}\n", name, line_of(r.json[key]));
  }
  io::Json reports = io::Json::array();
  for (const auto& [step, path] : numbered(folder, "nan-step-")) reports.push_back(last_name(path)), r.text += fmt::format("{:<12} numbers that were not finite: report.json\n", last_name(path));
  r.json.update({{"damaged", damaged}, {"reports", reports}, {"last", metrics}});
  if (metrics.is_object())
    for (const auto& [key, value] : metrics.items()) r.text += fmt::format("{:<20} {}\n", io::printable(key), io::printable(value.dump()));
  return r;
}

}  // namespace sspo::cli
