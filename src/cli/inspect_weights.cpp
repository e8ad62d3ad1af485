// What the inspectors of weights share, and the two whose subject is weights alone.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/inspection.hpp"
#include "cli/signals.hpp"
#include "sspo/io/hash.hpp"
#include "sspo/models/lora.hpp"
#include "sspo/models/single_file.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

std::uint64_t elements_of(const io::StoredTensor& t) {
  std::uint64_t n = 1;
  for (const std::uint64_t extent : t.shape) n *= extent;  // the parser saw to it that this does not overflow
  return n;
}

std::string file_name(const std::string& path) { return io::printable(fs::path(path).filename().string(), 255); }

std::vector<std::string> paths_of(const io::Weights& weights) {
  std::vector<std::string> paths;
  for (const io::TensorFile& file : weights.files()) paths.push_back(file.path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

io::Json count_json(const Totals::Count& c) { return {{"tensors", c.tensors}, {"elements", c.elements}, {"bytes", c.bytes}}; }

io::Json metadata_json(const io::Weights& weights) {
  io::Json json = io::Json::object();
  for (const io::TensorFile& file : weights.files())
    for (const auto& [key, value] : file.metadata()) json[key] = value;
  return json;
}

Inspection inspection_of(const char* kind, const char* title, const std::string& path, const io::Weights& weights) {
  const Totals totals(weights);
  const io::Json files = weight_files_json(weights), metadata = metadata_json(weights);
  Inspection r;
  r.json = {{"kind", kind}, {"path", io::printable(path, 4096)}, {"totals", totals.json()}, {"metadata", metadata}, {"files", files}, {"tensors", tensors_json(weights)}};
  r.text = fmt::format("{}: {}, {}\n{}", io::printable(path, 4096), title, totals.text(), weight_files_text(files));
  if (is_single_file(weights)) {
    r.json["holds"] = "single file";
    r.text += "holds     a Stable Diffusion in one file: sspo convert makes a folder of it\n";
  } else if (is_lora(weights)) {
    r.json["holds"] = "lora";
    r.text += "holds     a LoRA: sspo lora inspect shows its modules\n";
  }
  for (const auto& [key, value] : metadata.items())
    r.text += fmt::format("metadata  {} = {}\n", io::printable(key), io::printable(value.get_ref<const std::string&>()));
  r.text += tensors_text(weights);
  return r;
}

}  // namespace

std::string size_text(std::uint64_t bytes) {
  if (bytes < 10240) return fmt::format("{} bytes", bytes);
  const double kib = double(bytes) / 1024;
  return kib < 1024 ? fmt::format("{:.1f} KiB", kib) : kib < 1024 * 1024 ? fmt::format("{:.1f} MiB", kib / 1024) : fmt::format("{:.2f} GiB", kib / 1048576);
}

std::string sha256_of(const std::string& path) {
  const io::File file(path);
  io::Sha256 hash;
  std::string piece(4u << 20, '\0');
  for (std::uint64_t at = 0; at < file.size(); at += piece.size()) {
    stop_if_interrupted();
    piece.resize(std::size_t(std::min<std::uint64_t>(piece.size(), file.size() - at)));
    file.read(at, piece.data(), piece.size());
    hash.add(piece);
  }
  return hash.hex();
}

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_regular_file(ignored)) names.push_back(entry->path().filename().string());
  }
  if (error) fail({.op = io::printable(folder, 4096), .what = "cannot be listed: " + error.message(), .kind = ErrorKind::io}, Site{});
  std::sort(names.begin(), names.end());
  return names;
}

Totals::Totals(const io::Weights& weights) {
  for (const std::string& name : weights.names()) {
    const io::StoredTensor& t = *weights.find(name);
    for (Count* c : {&all, &by_type[std::string(t.type->name)]}) ++c->tensors, c->elements += elements_of(t), c->bytes += t.end - t.begin;
  }
}

io::Json Totals::json() const {
  io::Json json = count_json(all);
  json["types"] = io::Json::object();
  for (const auto& [type, count] : by_type) json["types"][type] = count_json(count);
  return json;
}

std::string Totals::text() const {
  std::string types;
  for (const auto& [type, count] : by_type)
    types += (types.empty() ? " (" : ", ") + type + (by_type.size() > 1 ? fmt::format(": {}", count.tensors) : "");
  return fmt::format("{} tensors, {} elements, {}{}", all.tensors, all.elements, size_text(all.bytes), types.empty() ? "" : types + ")");
}

io::Json tensors_json(const io::Weights& weights) {
  io::Json list = io::Json::array();
  for (const std::string& name : weights.names()) {
    const io::StoredTensor& t = *weights.find(name);
    list.push_back({{"name", name}, {"dtype", t.type->name}, {"shape", t.shape}, {"bytes", t.end - t.begin}, {"file", file_name(weights.path_of(name))}});
  }
  return list;
}

std::string tensors_text(const io::Weights& weights) {
  std::string text = fmt::format("{:<8}  {:<22} {:>11}  {}\n", "type", "shape", "bytes", "name");
  for (const std::string& name : weights.names()) {
    const io::StoredTensor& t = *weights.find(name);
    text += fmt::format("{:<8}  {:<22} {:>11}  {}\n", t.type->name, fmt::format("[{}]", fmt::join(t.shape, ", ")), t.end - t.begin, io::printable(name, 4096));
  }
  return text;
}

io::Json weight_files_json(const io::Weights& weights) {
  io::Json files = io::Json::array();
  for (const std::string& path : paths_of(weights))
    files.push_back({{"file", file_name(path)}, {"bytes", io::File(path).size()}, {"sha256", sha256_of(path)}});
  return files;
}

std::string weight_files_text(const io::Json& files) {
  std::string text;
  for (const io::Json& f : files)
    text += fmt::format("sha256    {}  {} ({})\n", f["sha256"].get<std::string>(), f["file"].get<std::string>(), size_text(f["bytes"].get<std::uint64_t>()));
  return text;
}

Inspection inspect_safetensors(const std::string& path) {
  return inspection_of("safetensors", "safetensors", path, io::open_weights(path));
}

Inspection inspect_torch(const std::string& path) {
  const io::Weights weights = io::open_weights(path);
  Inspection r = inspection_of("torch", "file of torch.save", path, weights);
  const std::uint64_t skipped = weights.files()[0].skipped();
  r.json["skipped"] = skipped;
  if (skipped) r.text += fmt::format("{} other values in it, which are passed over\n", skipped);
  return r;
}

Inspection inspect_shard_index(const std::string& path) {
  return inspection_of("shard index", "index of safetensors", path, io::open_shards(path));
}

}  // namespace sspo::cli
