// Stable Diffusion 1.x in one file, .safetensors or .ckpt, under the names of the program that trained it (CompVis/latent-diffusion,
// LDM): model.diffusion_model.*, first_stage_model.*, cond_stage_model.transformer.*. Read as the three components of the diffusers
// layout, and written back.
//   const SingleFile file = open_single_file("v1-5-pruned-emaonly.safetensors");
//   save_pipeline(file, ClipTokenizer::open("tokenizer"), "out/sd15");
//   save_single_file("out/sd15", "out/sd15.safetensors");
// Sizes follow from the tensors' shapes: channels, layers, attention, widths. What shapes cannot tell is SD-1.x's: 8 heads in the UNet
// (see the options), 64 channels a head in the text encoder, 32 groups, quick_gelu, epsilon prediction, the noise schedule, 0.18215.
#pragma once
#include "sspo/models/stable_diffusion.hpp"

namespace sspo {

struct SingleFileOptions {
  bool ema = false;  // the UNet's averaged weights, model_ema.*, where the file holds both
  Index heads = 8;   // of each attention of the UNet
  Index size = 512;  // pixels a side that the model was trained on
};

struct SingleFile {
  template <class C>
  struct Part {
    std::string config_json;
    C config;
    io::Weights weights;  // under the names of diffusers, in the file's types
  };
  std::string path;
  Part<UNetConfig> unet;
  Part<VaeConfig> vae;
  Part<ClipTextConfig> text_encoder;
  SchedulerConfig scheduler;    // SD-1.5's, PNDM
  std::size_t passed_over = 0;  // tensors that no component has: the schedule's tables, the other set of UNet weights, position_ids
};

// No number is read. Throws Error{file}: tensors that are missing or that nothing takes, listed by their names in the file; other
// shapes; another architecture (Stable Diffusion 2 and XL by name).
SingleFile open_single_file(const std::string& path, const SingleFileOptions& options = {});
bool is_single_file(const io::Weights& weights);  // by its names

// A folder that exists: components in the types of the file, tokenizer, scheduler, model_index.json last. Takes the memory of the
// largest component.
void save_pipeline(const SingleFile& file, const ClipTokenizer& tokenizer, const std::string& folder);
StableDiffusion load_pipeline(const SingleFile& file, ClipTokenizer tokenizer, const LoadOptions& options = {}, std::optional<SchedulerKind> kind = {});

// The other way: a pipeline's UNet, autoencoder and text encoder as one safetensors file, in their own types. Takes the memory of all
// three. Tokenizer, configs and scheduler are not in such a file; Error{file} for other norm_num_groups than 32, which no reader would
// guess.
void save_single_file(const std::string& pipeline, const std::string& path, const io::WeightsOptions& from = {});

// "down_blocks.0.resnets.1.conv1.weight" -> "input_blocks.2.0.in_layers.2.weight"; without the prefix of its component.
std::string ldm_unet_name(const std::string& name, const UNetConfig& config);
std::string ldm_vae_name(const std::string& name, const VaeConfig& config);

}  // namespace sspo
