// LoRA (Hu et al. 2021, arXiv 2106.09685): low-rank changes of weights, W + scale (alpha / rank) up down. Read in the layouts that are
// about for Stable Diffusion 1.x, .safetensors or torch.save's, and added to a model's weights:
//   diffusers   unet.MODULE.lora_A.weight, lora_B; older: MODULE.processor.to_q_lora.down.weight, up; MODULE.lora_linear_layer.down.weight
//   peft        base_model.model.MODULE.lora_A.weight, lora_B, with adapter_config.json beside the file
//   kohya       lora_unet_MODULE.lora_down.weight, lora_up, alpha, with _ for each dot; lora_te_MODULE
//   indexed     unet:12:down, unet:12:up, text_encoder:12:..., counted as cloneofsimo/lora finds attention modules
//   Lora lora = open_lora("style.safetensors");
//   LoraChange change;  add_lora(lora, 0.8, LoraPart::unet, params, change);
#pragma once
#include "sspo/models/weights.hpp"
#include "sspo/nn/lora.hpp"

namespace sspo {

enum class LoraPart { unet, text_encoder };
enum class LoraLayout { diffusers, peft, kohya, indexed };
std::string_view name_of(LoraLayout layout);

struct LoraModule {
  LoraPart part;
  std::string name;      // as the layout has it: with dots, with underscores, or a number
  std::string down, up;  // tensors: [rank, in] and [out, rank], or of a convolution [rank, in, kh, kw] and [out, rank, 1, 1]
  Index rank;
  double alpha;          // rank, where the file says nothing
};

struct Lora {
  std::string path;
  LoraLayout layout;
  io::Weights weights;
  std::vector<LoraModule> modules;
  std::vector<std::string> unknown;   // names of no layout: other methods (LoHa, LoKr, DoRA), other programs' additions
  std::size_t token_embeddings = 0;   // "<s1>": words to learn, which are passed over
};
// Reads no number but alphas. Throws Error{file}: no module at all; an up without its down; ranks that differ; an adapter_config.json
// of another method (DoRA).
Lora open_lora(const std::string& path);
bool is_lora(const io::Weights& weights);  // by its names: at least one is of these layouts

// What adding did.
struct LoraChange {
  std::size_t tensors = 0;              // weights that changed
  double square = 0;                    // sum of the squares of all that was added: the norm's square
  std::vector<std::string> unmatched;   // modules that the model lacks
};
// Adds one part's changes to parameters in their own dtype, or to a checkpoint's tensors (those of `wanted`, as checkpoint_of gives them);
// computed in f32. Throws Error{file} where a module is there but its shapes do not fit: a LoRA for another architecture.
void add_lora(const Lora& lora, double scale, LoraPart part, Params& params, LoraChange& change);
void add_lora(const Lora& lora, double scale, LoraPart part, const Params& wanted, std::vector<io::NamedTensor>& tensors, LoraChange& change);
void require_some(const LoraChange& change, const Lora& lora);  // Error{file} if nothing changed

// --- of training: adapters of nn/lora.hpp, named as diffusers names them, unet.MODULE.lora_A.weight

// FOLDER/pytorch_lora_weights.safetensors, which diffusers' load_lora_weights(FOLDER), sspo sample --lora and sspo lora read: rank,
// alpha and targets stand in its metadata, and whatever else is to be said.
void save_adapters(const std::string& folder, const Params& adapters, const nn::LoraOptions& options, io::Metadata about = {});
inline constexpr const char* adapters_file = "pytorch_lora_weights.safetensors";
// The numbers of such a file for the adapters `wanted` names. Error{file}: missing, of another shape, or more than these.
Params load_adapters(const std::string& folder, const Params& wanted, const LoadOptions& options = {});

// A pipeline's folder with the changes in its weights, in their own types; what the LoRA does not touch is copied. `out` exists.
LoraChange merge_lora(const std::string& pipeline, const Lora& lora, double scale, const std::string& out, const io::WeightsOptions& from = {});

}  // namespace sspo
