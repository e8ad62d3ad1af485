// A model in the diffusers layout: model_index.json names the components; each is a folder with config.json and weights,
// in one safetensors file or in several that an index lists, perhaps as a variant (fp16, bf16); or in one .bin of torch.save.
//   Weights weights = open_weights("sd15/unet", {.variant = "fp16"});
//   Tensor w = weights.load("conv_in.weight");                        // converted to f32; axes as in the file (OIHW)
//   save_component("out/unet", config_json, "diffusion_pytorch_model", tensors);
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sspo/io/tensor_file.hpp"

namespace sspo::io {

// --- reading weights

// A tensor of a file under a name of our own: whole, or one of several equal runs of its rows, or transposed.
struct WeightPart {
  std::string name, in_file;
  std::uint64_t run = 0, runs = 1;
  bool transposed = false;
};

class Weights {
 public:
  Weights() : Weights(std::vector<TensorFile>{}) {}
  explicit Weights(std::vector<TensorFile> files);        // Error{file}: a name in two of them
  const std::vector<std::string>& names() const { return names_; }  // ascending
  bool has(std::string_view name) const { return find(name) != nullptr; }
  const StoredTensor* find(std::string_view name) const;  // null: not there. Its own name is the file's: see renamed()
  const std::string& path_of(std::string_view name) const;  // the file that holds it: for messages
  const std::vector<TensorFile>& files() const { return *files_; }
  // Rounded to the nearest value of `as`. Integers and booleans are not converted. Error{file}: no such name, a type
  // that cannot become `as`.
  Tensor load(std::string_view name, DType as = DType::f32, const Device& device = Device::cpu()) const;
  Tensor load_as_stored(std::string_view name) const;
  // Some of these tensors under other names: pairs of the new name and the one here. Error{file}: no such name here.
  Weights renamed(std::vector<std::pair<std::string, std::string>> names) const;
  // Pieces of these tensors, read from the file as such. Error{file}: no such name here, no equal runs, no matrix to transpose.
  Weights parts(std::vector<WeightPart> parts) const;

 private:
  struct Entry {
    std::uint32_t file;
    const StoredTensor* stored;
  };
  const Entry* entry(std::string_view name) const;
  const Entry& required(std::string_view name) const;
  Shared<const std::vector<TensorFile>> files_;
  Shared<const std::vector<StoredTensor>> pieces_;  // what entries point to, where that is no file's whole tensor
  std::vector<std::string> names_;
  std::vector<Entry> entries_;  // of each name
};

struct WeightsOptions {
  std::string variant = {};  // "fp16": that one's files and no others
};
// A component's folder, or a file itself, of safetensors or of torch.save. Tried in this order, as diffusers and transformers do:
//   diffusion_pytorch_model.safetensors.index.json, diffusion_pytorch_model.safetensors, model.safetensors,
//   model.safetensors.index.json; with a variant, *.safetensors.index.fp16.json (or the older *.safetensors.fp16.index.json)
//   and *.fp16.safetensors; then diffusion_pytorch_model.bin, pytorch_model.bin, or *.fp16.bin.
Weights open_weights(const std::string& path, const WeightsOptions& options = {});
// The files an index lists, whatever its name. Each tensor must lie exactly where the index says, and no other may be there.
Weights open_shards(const std::string& index_path);

// PART.safetensors.index.json, at most 64 MiB.
struct ShardIndex {
  std::optional<std::uint64_t> total_size;        // bytes of all tensors
  std::map<std::string, std::string> weight_map;  // tensor -> file, a plain relative name
};
ShardIndex parse_shard_index(std::string_view text, const Place& place);
std::string write_shard_index(const ShardIndex& index);

// --- the pipeline

struct ModelIndex {
  struct Component {
    std::string library, class_name;  // "diffusers", "UNet2DConditionModel"
  };
  std::string class_name;                       // "StableDiffusionPipeline"
  std::map<std::string, Component> components;  // by folder. [null, null], an absent one, is left out
};
ModelIndex parse_model_index(std::string_view text, const Place& place);
ModelIndex read_model_index(const std::string& folder);
std::string write_model_index(const ModelIndex& index);

// --- writing

struct SaveOptions {
  std::string variant = {};
  std::uint64_t max_file_bytes = ~std::uint64_t(0);  // more tensors than that go to several files and an index
  Metadata metadata = {{"format", "pt"}};            // transformers wants that key
};
// Makes the folder if need be. The weights come first, config.json last: a folder with a config is whole. stem:
// "diffusion_pytorch_model" for diffusers' classes, "model" for those of transformers. Weights of another layout under the
// same stem and variant, which readers would find instead, are removed.
void save_component(const std::string& folder, std::string_view config_json, const std::string& stem,
                    const std::vector<NamedTensor>& tensors, const SaveOptions& options = {});

}  // namespace sspo::io
