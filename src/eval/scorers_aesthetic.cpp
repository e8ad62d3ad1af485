#include <cmath>
#include <filesystem>
#include <memory>

#include "eval/scorers_clip.hpp"
#include "sspo/io/hash.hpp"

namespace sspo {
namespace {

constexpr const char* head_file = "sac+logos+ava1-l14-linearMSE.pth";
constexpr int head_layers[] = {0, 2, 4, 6, 7};  // dropouts stand between, which do nothing here

}  // namespace

AestheticHead AestheticHead::load(const std::string& path, const LoadOptions& options) {
  const io::Weights weights = io::open_weights(path);
  Params wanted = Params::shapes_only();
  std::vector<std::array<Index, 2>> widths;  // in, out
  for (const int n : head_layers) {
    const std::string name = "layers." + std::to_string(n) + ".weight";
    const io::StoredTensor* t = weights.find(name);
    if (!t || t->shape.size() != 2) io::bad_file({.path = path, .field = name}, "no head of LAION's aesthetic predictor", "a matrix", t ? t->str() : "no such tensor");
    widths.push_back({Index(t->shape[1]), Index(t->shape[0])});
  }
  if (widths.back()[1] != 1) io::bad_file({.path = path, .field = "layers.7.weight"}, "the head ends in more than one number", "1", std::to_string(widths.back()[1]));
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) widths[i + 1][0] = widths[i][1];  // what does not follow is told as another shape
  const auto build = [&](Params& params) {
    std::vector<nn::Linear> layers;
    for (std::size_t i = 0; i < widths.size(); ++i) layers.emplace_back(params / "layers" / head_layers[i], widths[i][0], widths[i][1]);
    return layers;
  };
  build(wanted);
  Params params = fit_weights(wanted, weights, path, options);
  AestheticHead head;
  head.layers_ = build(params.frozen());
  return head;
}

Tensor AestheticHead::operator()(const Tensor& embeds) const {
  Tensor x = embeds;
  for (const nn::Linear& layer : layers_) x = layer(x);
  return reshape(x, {x.dim(0)});
}

std::uint64_t AestheticHead::bytes() const {
  std::uint64_t bytes = 0;
  for (const nn::Linear& layer : layers_) bytes += std::uint64_t(layer.weight.shape().numel() + layer.bias->shape().numel()) * size_of(layer.weight.value().dtype());
  return bytes;
}

// christophschuhmann/improved-aesthetic-predictor, simple_inference.py: the head's output is the score.
Scorer load_aesthetic(const std::string& path, const ScorerOptions& o, const ClipShape& shape) {
  const std::string head_path = path + "/" + head_file;
  std::error_code ignored;
  if (!std::filesystem::exists(head_path, ignored)) io::bad_file({.path = path}, "no head of the aesthetic predictor", head_file, {}, "a folder with that file and the CLIP ViT-L/14 of OpenAI");
  const ClipSource source = open_clip(path, {.activation = Activation::quick_gelu});
  ClipShape got = shape_of(source.config);
  if (!source.config.text) got.text_width = shape.text_width, got.text_layers = shape.text_layers;  // the picture's tower alone will do
  check_shape(shape, got, "aesthetic", source.path);

  struct State {
    ClipVision vision;
    AestheticHead head;
    Device device;
    DType dtype;
  };
  Params params = load_clip_vision(source, {.dtype = o.dtype, .device = o.device});
  std::uint64_t bytes = 0;
  for (const Param& p : params) bytes += std::uint64_t(p.shape().numel()) * size_of(o.dtype);
  const auto state = std::make_shared<const State>(State{ClipVision(params.frozen(), *source.config.vision), AestheticHead::load(head_path, {.device = o.device}), o.device, o.dtype});
  if (state->head.inputs() != source.config.vision->projection_dim)
    io::bad_file({.path = head_path}, "the head is for other embeddings", std::to_string(source.config.vision->projection_dim) + " inputs", std::to_string(state->head.inputs()));
  io::Sha256 hash;
  hash.add(weights_hash(source.path));
  hash.add(io::File(head_path));
  Scorer scorer{.name = "aesthetic", .version = "v2", .hash = hash.hex().substr(0, 10), .bytes = bytes + state->head.bytes(), .score = {}};
  scorer.score = [state](std::span<const io::Image> pictures, std::span<const std::string>) {
    const Tensor pixels = clip_pixels(pictures, state->vision.config().image_size, ClipFit::shorter_half_even, state->device);
    const Tensor embeds = cast(state->vision.embed(cast(pixels, state->dtype)), DType::f32);
    const Tensor unit = embeds / sqrt(sum(square(embeds), {-1}, true));
    std::vector<Score> scores;
    for (const float s : state->head(unit).to_vector<float>()) scores.push_back({.raw = s, .value = s});
    return scores;
  };
  return scorer;
}

}  // namespace sspo
