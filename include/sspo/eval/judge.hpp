// A judge of pictures in known styles: which style is it, and how well does it fit a caption? Small convolutional networks, trained on
// real pictures alone (objective "judge" of a recipe), so that what a diffusion model draws can be scored without a person.
//   const LoadedJudge judge = load_judge("out/judge/model");
//   Tensor p = softmax(judge.net.style(x));                                                  // x [B, H, W, 3] in [-1, 1] -> [B, styles]
//   Tensor cosines = matmul(judge.net.embed(judge.net.features(x)), transpose(judge.captions({"red heart", "cat face"})));   // [B, 2]
// A style's probability is a group mean, not a verdict on one picture; features are for distances (near, Frechet).
#pragma once
#include <span>
#include <string>
#include <vector>

#include "sspo/io/file.hpp"
#include "sspo/models/tokenizer.hpp"
#include "sspo/nn/layers.hpp"

namespace sspo {

struct JudgeConfig {
  std::vector<std::string> styles;                                // what the style's logits are of
  Index size = 32;                                                // rows and columns of a picture
  Index vocab_size = 1024, max_tokens = 16;                       // start and end token included
  std::vector<Index> style_channels = {32, 64, 64};               // strides 2, 1, 2, 1, ...
  std::vector<Index> picture_channels = {24, 48, 48, 96, 96, 96}; // strides 1, 2, 1, 2, ...
  Index features = 128, embedding = 64, token_width = 128;
};
JudgeConfig load_judge_config(const std::string& path);  // throws Error{file} naming the field
JudgeConfig read_judge_config(std::string_view json, const io::Place& place);

// A 3x3 convolution, group norm, SiLU.
struct JudgeConv {
  nn::Conv2d conv;
  nn::GroupNorm norm;
  JudgeConv(const Scope& p, Index in, Index out, Index stride);
  Tensor operator()(const Tensor& x) const { return norm(conv(x)); }
};

// Captions as tokens, and the share of each in its caption's mean: 1 / their number, 0 for start, end and padding.
struct CaptionTokens {
  Tensor ids, shares;  // [B, max_tokens] i32, f32
};
CaptionTokens caption_tokens(const ClipTokenizer& tokenizer, std::span<const std::string> captions, Index max_tokens, const Device& device);

// Two towers (Radford et al. 2021) and, apart from them, a classifier of styles. Parameters style.*, picture.*, text.*.
class Judge {
 public:
  using Config = JudgeConfig;
  Judge(const Scope& p, const JudgeConfig& config);

  Tensor style(const Tensor& pictures) const;        // [B, H, W, 3] -> logits [B, styles]
  Tensor features(const Tensor& pictures) const;     // [B, H, W, 3] -> [B, features]
  Tensor embed(const Tensor& features) const;        // -> [B, embedding], of length 1
  Tensor text(const CaptionTokens& captions) const;  // -> [B, embedding], of length 1
  Tensor scale() const;                              // [] 1 / temperature of the contrast, learned
  const JudgeConfig& config() const { return config_; }

 private:
  JudgeConfig config_;
  std::vector<JudgeConv> style_;
  nn::Linear style_mix_, style_hidden_, style_out_;
  std::vector<JudgeConv> picture_;
  nn::Linear picture_features_, picture_out_;
  nn::Embedding tokens_;
  nn::Linear text_hidden_, text_out_;
  Param log_scale_;
};

// Symmetric contrast of n pictures and their n captions: the mean of both cross entropies of softmax(scale a bᵀ), rows and columns.
// Pairs of one group (pictures of one thing in several styles) are no negatives of each other. a, b [n, D] of length 1.
Tensor contrast(const Tensor& a, const Tensor& b, const Tensor& scale, std::span<const Index> groups, Site at = Site::current());

// How many of row i's columns lie above its own, answers[i]: 0 is the best. similarities [n, m]; of equal ones, none counts as above.
std::vector<Index> ranks(const Tensor& similarities, std::span<const Index> answers, Site at = Site::current());

// A judge as training exports it: DIR/judge/{config.json, model.safetensors}, DIR/tokenizer; frozen.
struct LoadedJudge {
  Judge net;
  ClipTokenizer tokenizer;
  std::string hash;  // of the weights
  Tensor captions(std::span<const std::string> texts) const;  // [n, embedding]
  Index style_named(std::string_view style, Site at = Site::current()) const;  // its column; Error that lists all
};
LoadedJudge load_judge(const std::string& dir, const Device& device = Device::cpu());

}  // namespace sspo
