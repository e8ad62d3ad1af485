// The kinds of things that `sspo inspect` knows, a function each. All throw Error for what is damaged.
#pragma once
#include <string>
#include <vector>

#include "io/json.hpp"
#include "sspo/io/model_dir.hpp"

namespace sspo::cli {

struct Inspection {
  io::Json json;     // {"kind", "path", ...}
  std::string text;  // the same for people, a line or more; nothing in it moves the cursor
};
Inspection inspect_safetensors(const std::string& path);
Inspection inspect_torch(const std::string& path);
Inspection inspect_shard_index(const std::string& path);
Inspection inspect_picture(const std::string& path);
Inspection inspect_parquet(const std::string& path);
Inspection inspect_tar(const std::string& path);
Inspection inspect_tokenizer(const std::string& folder);
Inspection inspect_scheduler(const std::string& config_path);
Inspection inspect_component(const std::string& folder, const std::string& variant);
Inspection inspect_pipeline(const std::string& folder, const std::string& variant);
Inspection inspect_run(const std::string& folder);            // damage of its parts is told among them
Inspection inspect_manifest(const std::string& folder);       // a checkpoint, or whatever else has a MANIFEST.json
Inspection inspect_store(const std::string& folder);          // latents, captions, self-samples (train/tensor_store.hpp)
Inspection inspect_list(const std::string& folder);           // checkpoints/, pool/, self-samples/, cache/ of a run
enum class ListKind { none, store, list };
ListKind list_kind(const std::string& folder);
Inspection inspect_dataset(const std::string& path);          // decodes every picture

// --- what they share

std::string size_text(std::uint64_t bytes);                      // "912 bytes", "3.3 GiB"
std::string sha256_of(const std::string& path);                  // stops at Ctrl-C between pieces
std::vector<std::string> files_in(const std::string& folder);    // names of its regular files, sorted
bool exists(const std::string& path);

// All tensors of a model: how many numbers of which type.
struct Totals {
  struct Count {
    std::uint64_t tensors = 0, elements = 0, bytes = 0;
  };
  Count all;
  std::map<std::string, Count> by_type;  // "F16"
  explicit Totals(const io::Weights& weights);
  io::Json json() const;     // {"tensors", "elements", "bytes", "types": {"F16": {...}}}
  std::string text() const;  // "686 tensors, 859520964 elements, 3.2 GiB (F32)"
};
io::Json tensors_json(const io::Weights& weights);         // [{"name", "dtype", "shape", "bytes", "file"}], names ascending
std::string tensors_text(const io::Weights& weights);      // a line each
io::Json weight_files_json(const io::Weights& weights);    // [{"file", "bytes", "sha256"}]
std::string weight_files_text(const io::Json& files);

// A component's weights: which variants there are, and which one was asked for.
struct ComponentWeights {
  std::vector<std::string> variants;  // "" is the plain one
  std::string variant;                // of `weights`
  std::optional<io::Weights> weights; // none: there are no safetensors
};
ComponentWeights component_weights(const std::string& folder, const std::string& variant);
io::Json variants_json(const ComponentWeights& w);
// Weights that are not what the config asks for: an Error. false: the class is none of ours, nothing was compared.
bool check_against_config(const std::string& class_name, const std::string& folder, const io::Weights& weights);
std::string class_of(const io::Json& config);  // _class_name of diffusers, architectures[0] of transformers, or ""

}  // namespace sspo::cli
