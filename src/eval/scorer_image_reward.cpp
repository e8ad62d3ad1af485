// ImageReward-v1.0 (Xu et al. 2023), as the package image-reward computes it.
#include <cmath>
#include <filesystem>

#include "eval/scorer_kinds.hpp"
#include "sspo/models/blip.hpp"

namespace sspo {
namespace {

constexpr std::size_t at_once = 8;  // pictures in a batch

// Pillow's bicubic resize of the shorter side, torchvision's centre crop, CLIP's mean and deviation.  [B, side, side, 3]
Tensor pixels(std::span<const io::Image> pictures, Index side, const Device& device) {
  constexpr float mean[] = {0.48145466f, 0.4578275f, 0.40821073f}, deviation[] = {0.26862954f, 0.26130258f, 0.27577711f};
  std::vector<float> values;
  for (const io::Image& picture : pictures) {
    const io::Image seen = io::centre_crop(io::resize_shorter(picture, side, io::Filter::bicubic), side, side, io::Centre::half_even);
    for (std::size_t i = 0; i < seen.rgb.size(); ++i) values.push_back((float(seen.rgb[i]) / 255.0f - mean[i % 3]) / deviation[i % 3]);
  }
  return Tensor::from(values, {Index(pictures.size()), side, side, 3}, device);
}

struct Loaded {
  ImageRewardConfig config;
  Params blip, head;  // the head stays f32
  WordPiece tokenizer;
  ImageReward net;
};

// The weights file in the folder: what people download, or the same tensors as safetensors.
std::string weights_in(const std::string& folder) {
  for (const char* name : {"/ImageReward.safetensors", "/ImageReward.pt"})
    if (std::filesystem::exists(folder + name)) return folder + name;
  io::bad_file({.path = folder}, "no weights of ImageReward", "ImageReward.pt, or the same tensors in ImageReward.safetensors", "neither",
               "download ImageReward.pt and med_config.json of THUDM/ImageReward, and vocab.txt of bert-base-uncased, into this folder");
}

// Of the file's tensors, what the reward needs: the checkpoint also holds projections and a momentum of BLIP's training.
io::Weights needed(const io::Weights& weights, std::initializer_list<std::string_view> prefixes) {
  std::vector<std::pair<std::string, std::string>> names;
  for (const std::string& name : weights.names())
    for (const std::string_view prefix : prefixes)
      if (name.starts_with(prefix)) names.emplace_back(name, name);
  return weights.renamed(std::move(names));
}

constexpr std::string_view vision = "blip.visual_encoder.", text = "blip.text_encoder.", mlp = "mlp.";

Params part_of(const Params& wanted, bool head) {
  Params part = Params::shapes_only();
  for (const Param& p : wanted)
    if (p.name().starts_with(mlp) == head) part.get(p.name(), p.shape(), {});
  return part;
}

std::uint64_t bytes_of(const Params& params) {
  std::uint64_t bytes = 0;
  for (const Param& p : params) bytes += std::uint64_t(p.shape().numel()) * size_of(p.value().dtype());
  return bytes;
}

std::shared_ptr<const Loaded> load(const std::string& folder, const std::string& path, const ScorerOptions& options) {
  ImageRewardConfig config;
  config.text = load_bert_config(folder + "/med_config.json");
  WordPiece tokenizer = WordPiece::open(folder + "/vocab.txt");
  if (tokenizer.size() != config.text.vocab_size)
    io::bad_file({.path = folder + "/vocab.txt"}, "a vocabulary of another size", std::to_string(config.text.vocab_size) + " tokens with [DEC] and [ENC], as med_config.json says",
                 std::to_string(tokenizer.size()), "vocab.txt of bert-base-uncased");
  const io::Weights weights = io::open_weights(path);
  config.vision = vit_config_of(weights, std::string(vision), path);
  config.text.encoder_width = config.vision.hidden_size;
  Params wanted = Params::shapes_only();
  ImageReward(wanted, config);
  check_weights(wanted, needed(weights, {vision, text, mlp}), path);
  Params blip = fit_weights(part_of(wanted, false), needed(weights, {vision, text}), path, {.dtype = options.dtype, .device = options.device});
  Params head = fit_weights(part_of(wanted, true), needed(weights, {mlp}), path, {.device = options.device});
  ImageReward net(Scope(blip.frozen()) / "blip", Scope(head.frozen()) / "mlp", config);
  return std::make_shared<const Loaded>(Loaded{config, std::move(blip), std::move(head), std::move(tokenizer), std::move(net)});
}

}  // namespace

Scorer load_image_reward(const std::string& folder, const ScorerOptions& options) {
  const std::string path = weights_in(folder);
  const std::shared_ptr<const Loaded> loaded = load(folder, path, options);
  Scorer scorer{.name = "imagereward", .version = "v1.0", .hash = weights_hash(path), .bytes = bytes_of(loaded->blip) + bytes_of(loaded->head), .score = {}};
  scorer.score = [loaded, device = options.device, dtype = options.dtype](std::span<const io::Image> pictures, std::span<const std::string> prompts) {
    if (pictures.size() != prompts.size())
      fail({.op = "imagereward", .what = "pictures and prompts do not match", .expected = "a prompt for each picture", .got = std::to_string(pictures.size()) + " pictures, " + std::to_string(prompts.size()) + " prompts"}, Site{});
    std::vector<Score> scores;
    for (std::size_t i = 0; i < pictures.size(); i += at_once) {
      const std::size_t n = std::min(at_once, pictures.size() - i);
      const Tensor x = cast(pixels(pictures.subspan(i, n), loaded->config.vision.image_size, device), dtype);
      const Tensor raw = loaded->net(x, bert_tokens(loaded->tokenizer, prompts.subspan(i, n), ImageReward::tokens, device));
      for (const float r : raw.to_vector<float>()) {
        if (!std::isfinite(r))
          fail({.op = "imagereward", .what = "a score is not finite", .expected = "a number", .got = std::to_string(r) + " for picture " + std::to_string(scores.size()), .hint = "the weights may be damaged"}, Site{});
        scores.push_back({.raw = double(r), .value = (double(r) - ImageReward::mean) / ImageReward::deviation});
      }
    }
    return scores;
  };
  return scorer;
}

}  // namespace sspo
