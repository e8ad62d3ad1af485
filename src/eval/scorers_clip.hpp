// The scorers that compare a picture with its prompt by a CLIP, each a row of constants. Private: tests put small models in their place.
#pragma once
#include "eval/clip_pixels.hpp"
#include "sspo/eval/scorer.hpp"
#include "sspo/models/clip.hpp"
#include "sspo/models/tokenizer.hpp"

namespace sspo {

// What tells one published CLIP from another.
struct ClipShape {
  Index vision_width, vision_layers, patch, image, text_width, text_layers, projection;
  Activation activation;
  bool operator==(const ClipShape&) const = default;
  std::string str() const;
};
constexpr ClipShape vit_b_32{768, 12, 32, 224, 512, 12, 512, Activation::quick_gelu};
constexpr ClipShape vit_b_16{768, 12, 16, 224, 512, 12, 512, Activation::quick_gelu};
constexpr ClipShape vit_l_14{1024, 24, 14, 224, 768, 12, 768, Activation::quick_gelu};
constexpr ClipShape vit_l_14_336{1024, 24, 14, 336, 768, 12, 768, Activation::quick_gelu};
constexpr ClipShape vit_h_14{1280, 32, 14, 224, 1024, 24, 1024, Activation::gelu_erf};
ClipShape shape_of(const ClipConfig& config);

struct ClipScorerSpec {
  std::string_view name, version;
  std::optional<ClipShape> shape;  // of the published weights; absent: any CLIP's
  std::string_view file;           // in the folder; empty: as open_clip finds it
  std::string_view not_file;       // the file of this scorer's other version
  Activation unsaid;               // the activation, where no config says it
  ClipFit fit;
  ClipFlavour flavour;
  bool keeps_end;                  // of a prompt that is too long, the last token becomes the end; false: it is cut where it is cut
  double (*value)(double cosine, double logit_scale);
};
extern const ClipScorerSpec pickscore, hpsv2_0, hpsv2_1, clipscore;

// Throws Error{file}: weights that are missing, damaged, of another shape, or that bear the other version's name; tokenizer files.
Scorer load_clip_scorer(const ClipScorerSpec& spec, const std::string& path, const ScorerOptions& options);

// Throws Error{file} that says both shapes, if they differ.
void check_shape(const ClipShape& expected, const ClipShape& got, std::string_view scorer, const std::string& path);

// LAION's aesthetic predictor: linear layers, no activation between, on the normalised embedding of a picture by ViT-L/14.
class AestheticHead {
 public:
  // *.pth as published: layers.N.weight and layers.N.bias, N = 0, 2, 4, 6, 7. Error{file}: others, or widths that do not follow each other.
  static AestheticHead load(const std::string& path, const LoadOptions& options = {});
  Tensor operator()(const Tensor& embeds) const;  // [B, inputs()], of length 1 each -> [B]
  Index inputs() const { return layers_[0].weight.shape()[1]; }
  std::uint64_t bytes() const;

 private:
  std::vector<nn::Linear> layers_;
};
// shape: what the CLIP must be; tests have smaller ones.
Scorer load_aesthetic(const std::string& path, const ScorerOptions& options, const ClipShape& shape = vit_l_14);

}  // namespace sspo
