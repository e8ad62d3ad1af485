#include "cli/inspect.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/files.hpp"
#include "cli/inspection.hpp"
#include "sspo/io/tar.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t most_json = 64u << 20;

enum class Content { picture, parquet, tar, safetensors, torch, json, unknown };

Content content_of(std::string_view first) {
  if (first.starts_with("\x89PNG\r\n\x1a\n") || first.starts_with("\xff\xd8\xff")) return Content::picture;
  if (first.starts_with("RIFF") && first.substr(0, 12).ends_with("WEBP")) return Content::picture;
  if (first.starts_with("PAR1")) return Content::parquet;
  if (first.size() > 8 && first[7] == '\0' && first[8] == '{') return Content::safetensors;  // a length, then JSON; text has no NUL
  if (first.starts_with("PK\x03\x04") || first.starts_with("\x80\x02")) return Content::torch;
  if (first.starts_with("\xEF\xBB\xBF")) first.remove_prefix(3);
  const std::size_t at = first.find_first_not_of(" \t\r\n");
  if (at != first.npos && first[at] == '{') return Content::json;
  return io::looks_like_tar(first) ? Content::tar : Content::unknown;
}

std::string folder_of(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

[[noreturn]] void unknown(const std::string& path, const std::string& first) {
  io::bad_file({.path = path}, "unknown content",
               "safetensors, a file of torch.save, a shard index, a PNG, JPEG or WebP picture, Parquet, a tar, a scheduler's or component's config, a metadata.jsonl, or the folder of a pipeline, component, scheduler, tokenizer, run, checkpoint or data set",
               first.empty() ? "an empty file" : "\"" + first + "\"");
}

Inspection inspect_json(const InspectOptions& o, const std::string& first) {
  const io::Json root = io::read_json(o.path, most_json);
  if (root.contains("weight_map")) return inspect_shard_index(o.path);
  const std::string name = class_of(root);
  if (name.ends_with("Pipeline")) return inspect_pipeline(folder_of(o.path), o.variant);
  if (name.ends_with("Scheduler")) return inspect_scheduler(o.path);
  if (!name.empty()) return inspect_component(folder_of(o.path), o.variant);
  unknown(o.path, first);
}

Inspection inspect_file(const InspectOptions& o) {
  const io::File file(o.path);
  std::string first = source_of(file).text(0, std::min<std::uint64_t>(file.size(), 512));
  const Content content = content_of(first);
  first.resize(std::min<std::size_t>(first.size(), 16));  // for messages
  switch (content) {
    case Content::picture: return inspect_picture(o.path);
    case Content::parquet: return inspect_parquet(o.path);
    case Content::tar: return inspect_tar(o.path);
    case Content::safetensors: return inspect_safetensors(o.path);
    case Content::torch: return inspect_torch(o.path);
    case Content::json: return o.path.ends_with(".jsonl") ? inspect_dataset(o.path) : inspect_json(o, first);
    case Content::unknown: break;
  }
  if (o.path.ends_with(".safetensors")) return inspect_safetensors(o.path);  // says what is wrong with it
  if (o.path.ends_with(".jsonl")) return inspect_dataset(o.path);
  if (o.path.ends_with(".parquet")) return inspect_parquet(o.path);
  if (o.path.ends_with(".tar")) return inspect_tar(o.path);
  unknown(o.path, first);
}

Inspection inspect_folder(const InspectOptions& o) {
  const auto has = [&](const char* name) { return exists(o.path + "/" + name); };
  if (has("recipe.toml") && (has("metrics.jsonl") || has("checkpoints"))) return inspect_run(o.path);
  if (has("model_index.json")) return inspect_pipeline(o.path, o.variant);
  if (has("scheduler_config.json")) return inspect_scheduler(o.path + "/scheduler_config.json");
  if (has("vocab.json") || has("tokenizer.json")) return inspect_tokenizer(o.path);
  if (has("config.json") || !component_weights(o.path, o.variant).variants.empty()) return inspect_component(o.path, o.variant);
  if (has("MANIFEST.json")) return inspect_manifest(o.path);
  if (has("metadata.jsonl")) return inspect_dataset(o.path);
  if (const ListKind kind = list_kind(o.path); kind != ListKind::none) return kind == ListKind::store ? inspect_store(o.path) : inspect_list(o.path);
  std::string got;
  const std::vector<std::string> files = files_in(o.path);
  if (std::any_of(files.begin(), files.end(), [](const std::string& f) { return f.ends_with(".png") || f.ends_with(".jpg") || f.ends_with(".jpeg") || f.ends_with(".webp") || f.ends_with(".parquet") || f.ends_with(".tar"); })) return inspect_dataset(o.path);
  for (std::size_t i = 0; i < files.size() && i < 4; ++i) got += (i ? ", " : "") + files[i];
  io::bad_file({.path = o.path}, "unknown content of a folder",
               "model_index.json, config.json, safetensors, scheduler_config.json, vocab.json, tokenizer.json, recipe.toml, MANIFEST.json, metadata.jsonl, pictures with captions, Parquet, or tars",
               files.empty() ? "no file" : files.size() > 4 ? got + ", ..." : got);
}

void write_ppm(const InspectOptions& o) {
  const io::Image image = io::read_image(o.path);
  const std::string header = fmt::format("P6\n{} {}\n255\n", image.width, image.height);
  const std::string_view pieces[] = {header, {reinterpret_cast<const char*>(image.rgb.data()), image.rgb.size()}};
  io::write_file(o.ppm, pieces);
}

}  // namespace

void inspect(const InspectOptions& o) {
  if (!o.ppm.empty()) check_output(o.ppm, o.force);
  std::error_code ignored;
  const Inspection found = fs::is_directory(o.path, ignored) ? inspect_folder(o) : inspect_file(o);
  const std::string kind = found.json.at("kind").get<std::string>();
  const auto only_for = [&](const char* option, bool given, const std::string& what, bool fits) {
    if (given && !fits) fail({.op = io::printable(o.path, 4096), .what = fmt::format("{} is for {}", option, what), .got = "a " + kind, .kind = ErrorKind::file}, Site{});
  };
  only_for("--ppm", !o.ppm.empty(), "pictures", kind == "picture");
  only_for("--variant", !o.variant.empty(), "pipelines and components", kind == "pipeline" || kind == "component");
  if (!o.ppm.empty()) write_ppm(o);
  if (o.json) fmt::print("{}\n", found.json.dump(2));
  else fmt::print("{}", found.text);
}

}  // namespace sspo::cli
