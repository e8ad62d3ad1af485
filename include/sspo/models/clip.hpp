// CLIP whole (Radford et al. 2021): pictures and texts as points of one space. Two towers, each a transformer and a projection, of
// any published shape, from Hugging Face's files or OpenCLIP's.
//   const ClipSource source = open_clip("CLIP-ViT-H-14");                  // reads names and shapes, no number
//   const Clip clip = load_clip(source);
//   Tensor p = clip.vision(pixels).embeds, t = clip.text(ids).embeds;      // [B, P] each, before normalisation
//   double logit = std::exp(clip.logit_scale) * cosine(p, t);
#pragma once
#include "sspo/models/clip_text.hpp"
#include "sspo/models/weights.hpp"

namespace sspo {

struct ClipVisionConfig {
  Index hidden_size = 768, intermediate_size = 3072, num_hidden_layers = 12, num_attention_heads = 12;
  Index num_channels = 3, image_size = 224, patch_size = 32;
  Activation hidden_act = Activation::quick_gelu;
  double layer_norm_eps = 1e-5;
  Index projection_dim = 512;
  Index tokens() const { return (image_size / patch_size) * (image_size / patch_size) + 1; }  // patches, and the class token before them
};

// A picture's tower: transformers' CLIPVisionModelWithProjection.
class ClipVision {
 public:
  using Config = ClipVisionConfig;
  // vision_model.embeddings.class_embedding, ..., vision_model.pre_layrnorm.weight (its name), ..., visual_projection.weight
  ClipVision(const Scope& p, const ClipVisionConfig& config);

  struct Output {
    Tensor embeds;             // [B, projection_dim]
    Tensor last_hidden_state;  // [B, tokens(), D], before the last norm
  };
  // pixels [B, image_size, image_size, channels], less their mean, over their deviation: eval/clip_pixels.hpp
  Output operator()(const Tensor& pixels, Site at = Site::current()) const;
  // The embeds alone, a few percent quicker: of the last layer, only the class token.
  Tensor embed(const Tensor& pixels, Site at = Site::current()) const;
  const ClipVisionConfig& config() const { return config_; }

 private:
  Tensor tokens_of(const Tensor& pixels, Site at) const;
  ClipVisionConfig config_;
  Param class_embedding_;  // [D]
  nn::Conv2d patch_embedding_;
  Param position_embedding_;  // [tokens(), D]
  nn::LayerNorm pre_norm_;
  std::vector<ClipLayer> layers_;
  nn::LayerNorm post_norm_;
  nn::Linear projection_;
};

// A text's tower: transformers' CLIPTextModelWithProjection.
class ClipTextTower {
 public:
  using Config = ClipTextConfig;
  ClipTextTower(const Scope& p, const ClipTextConfig& config);  // the text encoder's, and text_projection.weight

  struct Output {
    Tensor embeds;             // [B, projection_dim]
    Tensor last_hidden_state;  // [B, N, D], after the final norm
  };
  Output operator()(const Tensor& ids, Site at = Site::current()) const;  // [B, N] i32 or i64
  const ClipTextConfig& config() const { return text_.config(); }

 private:
  ClipText text_;
  nn::Linear projection_;
};

// --- files

// A tower that the file does not have is absent.
struct ClipConfig {
  std::optional<ClipVisionConfig> vision;
  std::optional<ClipTextConfig> text;
};
ClipConfig load_clip_config(const std::string& path);  // config.json of a CLIP or of one of its towers; throws Error{file} naming the field
ClipConfig read_clip_config(std::string_view json, const io::Place& place);

struct ClipOptions {
  // Where no config says it, and tensors cannot: OpenAI's models are quick_gelu, OpenCLIP's own gelu.
  std::optional<Activation> activation = {};
  std::string variant = {};  // of a folder's weights
};

// Weights that were found, under transformers' names.
struct ClipSource {
  std::string path;  // the folder or the file
  ClipConfig config;
  bool openclip = false;               // the file's own names are OpenCLIP's
  io::Weights vision_weights, text_weights;
  std::optional<double> logit_scale;   // the logarithm of what cosines are multiplied by
  std::vector<io::WeightPart> parts;   // of OpenCLIP's: where each of our tensors lies in the file
};

// A folder or a file: Hugging Face's, with config.json; or OpenCLIP's, where shapes follow from the tensors (heads: 64 channels each,
// in vision towers wider than 1024 there are 16, as all published ones have it), open_clip_config.json beside it says more. `.pt` and
// `.bin` are read as torch_file.hpp has it; names may have the prefix `module.`. No number is read but logit_scale. Throws Error{file}:
// no CLIP, tensors that are missing or that nothing takes, nothing that tells the activation.
ClipSource open_clip(const std::string& path, const ClipOptions& options = {});

// Throws Error{file}: no such tower, missing or other shapes. OpenCLIP's joint projections of q, k and v are read in three pieces: no
// weight is in memory twice.
Params load_clip_vision(const ClipSource& source, const LoadOptions& options = {});
Params load_clip_text(const ClipSource& source, const LoadOptions& options = {});

// Tensors that belong to our parameters (gradients, say), as the file has them: its names, shapes and axes.
std::vector<io::NamedTensor> to_clip_checkpoint(std::vector<io::NamedTensor> tensors, const ClipSource& source);

struct Clip {
  ClipVision vision;
  ClipTextTower text;
  double logit_scale;   // a logarithm
  std::uint64_t bytes;  // of both towers' parameters
};
Clip load_clip(const ClipSource& source, const LoadOptions& options = {});  // frozen

}  // namespace sspo
