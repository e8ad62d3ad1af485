// BLIP's picture-grounded text encoder (Li et al. 2022) with the head of ImageReward (Xu et al. 2023): a vision transformer, a BERT whose
// layers also look at the picture, and an MLP that makes one number of the state at [CLS].
//   ImageReward net(params, config);                                  // parameters: blip.visual_encoder..., blip.text_encoder..., mlp...
//   Tensor raw = net(pictures, tokens);                               // [B]; the published reward is (raw - mean) / deviation
// The reference is the package image-reward; its dropouts do nothing once a model is trained.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "sspo/models/weights.hpp"
#include "sspo/models/wordpiece.hpp"
#include "sspo/nn/layers.hpp"

namespace sspo {

struct VitConfig {  // ViT-L/16
  Index image_size = 224, patch_size = 16;
  Index hidden_size = 1024, intermediate_size = 4096;
  Index num_hidden_layers = 24, num_attention_heads = 16;
  double layer_norm_eps = 1e-6;
};

struct BertConfig {
  Index vocab_size = 30524, hidden_size = 768, intermediate_size = 3072;
  Index num_hidden_layers = 12, num_attention_heads = 12, max_position_embeddings = 512;
  Index encoder_width = 1024;  // of the picture's states that the layers look at
  Activation hidden_act = Activation::gelu_erf;
  double layer_norm_eps = 1e-12;
};
// BLIP's med_config.json; encoder_width is not read, since the package takes the vision transformer's. Throws Error{file} naming the field.
BertConfig load_bert_config(const std::string& path);
BertConfig read_bert_config(std::string_view json, const io::Place& place);

// x + attention(norm(x)), then x + mlp(norm(x)).
struct VitBlock {
  nn::LayerNorm norm1;
  nn::Linear qkv, proj;
  nn::LayerNorm norm2;
  nn::Linear fc1, fc2;
  Index heads;
  VitBlock(const Scope& p, const VitConfig& c);
  Tensor operator()(const Tensor& x) const;  // [B, N, D]
};

class Vit {
 public:
  using Config = VitConfig;
  // Parameters as timm names them: cls_token, pos_embed, patch_embed.proj.weight, blocks.0.attn.qkv.weight, ...
  Vit(const Scope& p, const VitConfig& config);
  // x [B, image_size, image_size, 3] -> [B, 1 + patches, D], after the final norm
  Tensor operator()(const Tensor& x, Site at = Site::current()) const;

 private:
  VitConfig config_;
  Param cls_token_, pos_embed_;  // [1, 1, D], [1, 1 + patches, D]
  nn::Conv2d patches_;
  std::vector<VitBlock> blocks_;
  nn::LayerNorm norm_;
};

// norm(x + dense(attention(x, seen))): BERT's norms stand behind the sums.
struct BertAttention {
  nn::Linear query, key, value, dense;
  nn::LayerNorm norm;
  Index heads;
  BertAttention(const Scope& p, const BertConfig& c, Index seen_width);
  // x [B, N, D], seen [B, M, seen_width], mask as attention() takes it or {}
  Tensor operator()(const Tensor& x, const Tensor& seen, const Tensor& mask) const;
};

struct BertLayer {
  BertAttention attention, crossattention;
  nn::Linear intermediate, output;
  nn::LayerNorm norm;
  Activation act;
  BertLayer(const Scope& p, const BertConfig& c);
  Tensor operator()(const Tensor& x, const Tensor& mask, const Tensor& picture) const;
};

// Prompts as tokens, and how many of them each has: the rest is padding.
struct BertTokens {
  Tensor ids;      // [B, N] i32
  Tensor present;  // [B, 1, 1, N] bool
};
BertTokens bert_tokens(const WordPiece& tokenizer, std::span<const std::string> prompts, Index length, const Device& device);

class BlipText {
 public:
  using Config = BertConfig;
  // Parameters as BLIP names them: embeddings.word_embeddings.weight, encoder.layer.0.crossattention.self.query.weight, ...
  BlipText(const Scope& p, const BertConfig& config);
  // picture [B, M, encoder_width] -> [B, N, D]
  Tensor operator()(const BertTokens& tokens, const Tensor& picture, Site at = Site::current()) const;

 private:
  BertConfig config_;
  nn::Embedding word_embeddings_;
  Param position_embeddings_;  // [max_position_embeddings, D]
  nn::LayerNorm norm_;
  std::vector<BertLayer> layers_;
};

struct ImageRewardConfig {
  VitConfig vision;
  BertConfig text;
};

class ImageReward {
 public:
  using Config = ImageRewardConfig;
  static constexpr double mean = 0.16717362830052426, deviation = 1.0333394966054072;  // of raw rewards, the package's constants
  static constexpr Index tokens = 35;                                                  // prompts are cut or padded to so many
  ImageReward(const Scope& p, const ImageRewardConfig& config) : ImageReward(p / "blip", p / "mlp", config) {}
  ImageReward(const Scope& blip, const Scope& mlp, const ImageRewardConfig& config);  // the MLP may be of another dtype
  // pictures [B, S, S, 3], normalised as CLIP's -> [B], the MLP's output
  Tensor operator()(const Tensor& pictures, const BertTokens& tokens, Site at = Site::current()) const;

 private:
  Vit vision_;
  BlipText text_;
  std::vector<nn::Linear> mlp_;
};

// The vision transformer that these weights are of: widths and depths from their shapes, heads of 64 channels as timm's models have.
// prefix: "blip.visual_encoder.". Throws Error{file}: none there.
VitConfig vit_config_of(const io::Weights& weights, const std::string& prefix, const std::string& path);

}  // namespace sspo
