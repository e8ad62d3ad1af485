#include "eval/scorers_clip.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <memory>

namespace sspo {
namespace {

namespace fs = std::filesystem;

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::string_view activation_name(Activation a) { return a == Activation::quick_gelu ? "quick_gelu" : a == Activation::gelu_erf ? "gelu" : "another activation"; }

struct Known { std::string_view name; ClipShape shape; };
constexpr std::array known = {Known{"vit-b-32", vit_b_32}, Known{"vit-b-16", vit_b_16}, Known{"vit-l-14", vit_l_14}, Known{"vit-l-14-336", vit_l_14_336}, Known{"vit-h-14", vit_h_14}};

std::string short_name(const ClipShape& s) {
  for (const auto& [name, shape] : known)
    if (shape == s) return std::string(name);
  return "vit-" + std::to_string(s.vision_width) + "x" + std::to_string(s.vision_layers) + "-" + std::to_string(s.patch) + "-" + std::to_string(s.image);
}

// The weights' file or folder, as open_clip takes it.
std::string weights_of(const ClipScorerSpec& spec, const std::string& path) {
  if (spec.file.empty()) return path;
  if (is_folder(path)) {
    const std::string file = path + "/" + std::string(spec.file);
    std::error_code ignored;
    if (!fs::exists(file, ignored)) io::bad_file({.path = path}, "no weights of " + std::string(spec.name) + " " + std::string(spec.version), std::string(spec.file), {}, "the file of that name, from the scorer's authors");
    return file;
  }
  if (fs::path(path).filename() == spec.not_file)
    io::bad_file({.path = path}, "by its name, the file is of another version than " + std::string(spec.name) + " " + std::string(spec.version), std::string(spec.file), std::string(spec.not_file));
  return path;
}

ClipTokenizer tokenizer_of(const std::string& weights, ClipFlavour flavour) {
  std::string folder = is_folder(weights) ? weights : fs::path(weights).parent_path().string();
  if (folder.empty()) folder = ".";
  return ClipTokenizer::open(is_folder(folder + "/tokenizer") ? folder + "/tokenizer" : folder, {.flavour = flavour});
}

std::vector<std::int32_t> ids_of(const ClipTokenizer& tokenizer, const std::string& prompt, int length, bool keeps_end) {
  std::vector<std::int32_t> ids = tokenizer.encode(prompt);
  if (keeps_end || int(ids.size()) <= length) return tokenizer.padded(prompt, length);
  ids.resize(std::size_t(length));
  return ids;
}

// Row by row, in double: what networks of 16 bits lose is theirs, not the score's.
std::vector<double> cosines(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = cast(a, DType::f64).to_vector<double>(), y = cast(b, DType::f64).to_vector<double>();
  const std::size_t rows = std::size_t(a.dim(0)), width = x.size() / std::max<std::size_t>(rows, 1);
  std::vector<double> result;
  for (std::size_t i = 0; i < rows; ++i) {
    double xy = 0, xx = 0, yy = 0;
    for (std::size_t k = i * width; k < (i + 1) * width; ++k) xy += x[k] * y[k], xx += x[k] * x[k], yy += y[k] * y[k];
    result.push_back(xy / std::sqrt(xx * yy));
  }
  return result;
}

double as_pickscore(double cosine, double logit_scale) { return std::exp(logit_scale) * cosine; }
double as_percent(double cosine, double) { return 100 * cosine; }
double as_torchmetrics(double cosine, double) { return std::max(100 * cosine, 0.0); }

}  // namespace

// yuvalkirstain/PickScore: exp(logit_scale) <text, image>.
const ClipScorerSpec pickscore{.name = "pickscore", .version = "v1", .shape = vit_h_14, .file = "", .not_file = "", .unsaid = Activation::gelu_erf, .fit = ClipFit::shorter_floor,
                               .flavour = ClipFlavour::hf, .keeps_end = true, .value = as_pickscore};
// tgxs002/HPSv2, package hpsv2 1.2: score() gives the cosine, the tables hold 100 times it.
const ClipScorerSpec hpsv2_0{.name = "hpsv2.0", .version = "v2.0", .shape = vit_h_14, .file = "HPS_v2_compressed.pt", .not_file = "HPS_v2.1_compressed.pt", .unsaid = Activation::gelu_erf,
                             .fit = ClipFit::longer_padded, .flavour = ClipFlavour::ftfy, .keeps_end = true, .value = as_percent};
const ClipScorerSpec hpsv2_1{.name = "hpsv2.1", .version = "v2.1", .shape = vit_h_14, .file = "HPS_v2.1_compressed.pt", .not_file = "HPS_v2_compressed.pt", .unsaid = Activation::gelu_erf,
                             .fit = ClipFit::longer_padded, .flavour = ClipFlavour::ftfy, .keeps_end = true, .value = as_percent};
// torchmetrics' clip_score: max(100 cosine, 0), prompts cut at 77 tokens without an end. Hessel et al. 2021 have 2.5 max(cosine, 0).
const ClipScorerSpec clipscore{.name = "clipscore", .version = "", .shape = {}, .file = "", .not_file = "", .unsaid = Activation::quick_gelu, .fit = ClipFit::shorter_floor,
                               .flavour = ClipFlavour::hf, .keeps_end = false, .value = as_torchmetrics};

std::string ClipShape::str() const {
  const auto n = [](Index i) { return std::to_string(i); };
  return "vision " + n(vision_width) + " wide, " + n(vision_layers) + " layers, patches of " + n(patch) + " in " + n(image) + " pixels; text " + n(text_width) + " wide, " + n(text_layers) +
         " layers; projection " + n(projection) + "; " + std::string(activation_name(activation));
}

ClipShape shape_of(const ClipConfig& c) {
  ClipShape s{};
  if (c.vision) s = {c.vision->hidden_size, c.vision->num_hidden_layers, c.vision->patch_size, c.vision->image_size, 0, 0, c.vision->projection_dim, c.vision->hidden_act};
  if (c.text) s.text_width = c.text->hidden_size, s.text_layers = c.text->num_hidden_layers;
  return s;
}

void check_shape(const ClipShape& expected, const ClipShape& got, std::string_view scorer, const std::string& path) {
  if (!(got == expected)) io::bad_file({.path = path}, "the weights are not those of " + std::string(scorer), expected.str(), got.str(), "another model's files lie there");
}

Scorer load_clip_scorer(const ClipScorerSpec& spec, const std::string& path, const ScorerOptions& o) {
  const std::string weights = weights_of(spec, path);
  const ClipSource source = open_clip(weights, {.activation = spec.unsaid});
  if (spec.shape) check_shape(*spec.shape, shape_of(source.config), spec.name, source.path);
  if (!source.config.text || !source.config.vision) io::bad_file({.path = source.path}, "a tower is missing", "a whole CLIP");
  const ClipTokenizer tokenizer = tokenizer_of(weights, spec.flavour);
  if (tokenizer.size() > source.config.text->vocab_size)
    io::bad_file({.path = source.path}, "the tokenizer beside the weights has more tokens than they", std::to_string(source.config.text->vocab_size), std::to_string(tokenizer.size()));

  struct State {
    Clip clip;
    ClipTokenizer tokenizer;
    Device device;
    DType dtype;
  };
  const auto state = std::make_shared<const State>(State{load_clip(source, {.dtype = o.dtype, .device = o.device}), tokenizer, o.device, o.dtype});
  Scorer scorer{.name = std::string(spec.name), .version = std::string(spec.version), .hash = weights_hash(source.path), .bytes = state->clip.bytes, .score = {}};
  if (scorer.version.empty()) scorer.version = short_name(shape_of(source.config));
  scorer.score = [state, spec](std::span<const io::Image> pictures, std::span<const std::string> prompts) {
    const Clip& clip = state->clip;
    const int length = int(clip.text.config().max_position_embeddings);
    std::vector<std::int32_t> ids;
    for (const std::string& prompt : prompts) {
      const std::vector<std::int32_t> one = ids_of(state->tokenizer, prompt, length, spec.keeps_end);
      ids.insert(ids.end(), one.begin(), one.end());
    }
    const Tensor pixels = cast(clip_pixels(pictures, clip.vision.config().image_size, spec.fit, state->device), state->dtype);
    const Tensor words = clip.text(Tensor::from(ids, {Index(prompts.size()), length}, state->device)).embeds;
    std::vector<Score> scores;
    for (const double cosine : cosines(clip.vision.embed(pixels), words)) scores.push_back({.raw = cosine, .value = spec.value(cosine, clip.logit_scale)});
    return scores;
  };
  return scorer;
}

}  // namespace sspo
