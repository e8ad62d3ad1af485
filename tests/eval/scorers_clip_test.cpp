// The scorers by CLIP against their references' own pipelines, on small models of random weights (make_clip_scorers.py), and what is
// said where files are wrong.
#include "eval/scorers_clip.hpp"

#include <cstdlib>
#include <map>

#include "models/golden.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

const std::string golden_folder = SSPO_SOURCE_DIR "/tests/golden/";

const GoldenJson& golden() {
  static const GoldenJson json = golden_file("clip_scorers.json");
  return json;
}

io::Image picture(const std::string& name) {
  const GoldenJson& size = golden()["pictures"][name];
  io::Image image = io::make_image(size[0].get<Index>(), size[1].get<Index>());
  const std::vector<double> u = uniform_of("picture." + name, Index(image.rgb.size()));
  for (std::size_t i = 0; i < u.size(); ++i) image.rgb[i] = std::uint8_t((u[i] + 1) * 128);
  return image;
}
std::vector<io::Image> pictures() {
  std::vector<io::Image> all;
  for (const auto& [name, size] : golden()["pictures"].items()) all.push_back(picture(name));
  return all;
}
std::vector<std::string> prompts() { return golden()["prompts"].get<std::vector<std::string>>(); }

constexpr ClipShape small(Activation a) { return {24, 2, 4, 16, 16, 2, 12, a}; }
ClipScorerSpec with_shape(ClipScorerSpec spec, std::optional<ClipShape> shape) {
  spec.shape = shape;
  return spec;
}
const ClipScorerSpec small_pickscore = with_shape(pickscore, small(Activation::gelu_erf)), small_hps = with_shape(hpsv2_0, small(Activation::gelu_erf));

void write_tokenizer(const std::string& folder) {
  for (const char* name : {"/vocab.json", "/merges.txt"}) io::write_file(folder + name, io::File(golden_folder + "tokenizer" + name).text(1 << 20));
}

// A CLIP in Hugging Face's layout.
void write_clip(const std::string& folder, const std::string& act, double scale = 2) {
  GoldenJson text = golden()["configs"]["text"], vision = golden()["configs"]["vision"];
  text["hidden_act"] = vision["hidden_act"] = act, text["eos_token_id"] = 2;
  const GoldenJson config = {{"model_type", "clip"}, {"projection_dim", 12}, {"text_config", text}, {"vision_config", vision}};
  const ClipConfig c = read_clip_config(config.dump(), {.path = "config.json"});
  NamedTensors tensors = checkpoint_of<ClipVision>(*c.vision);
  for (const io::NamedTensor& t : checkpoint_of<ClipTextTower>(*c.text)) tensors.push_back(t);
  tensors.push_back({"logit_scale", full({}, scale)});
  io::save_component(folder, config.dump(), "model", tensors);
  write_tokenizer(folder);
}

// The same shapes in OpenCLIP's.
void write_openclip(const std::string& folder, const std::string& file) {
  NamedTensors tensors;
  const auto add = [&](const std::string& name, std::vector<Index> shape) { tensors.push_back({name, weight_of(name, Shape(std::span<const Index>(shape)))}); };
  const auto layers = [&](const std::string& prefix, Index width, Index inner) {
    for (const char* n : {"0", "1"}) {
      const std::string layer = prefix + "transformer.resblocks." + n + ".";
      for (const char* norm : {"ln_1", "ln_2"}) add(layer + norm + ".weight", {width}), add(layer + norm + ".bias", {width});
      add(layer + "attn.in_proj_weight", {3 * width, width}), add(layer + "attn.in_proj_bias", {3 * width});
      add(layer + "attn.out_proj.weight", {width, width}), add(layer + "attn.out_proj.bias", {width});
      add(layer + "mlp.c_fc.weight", {inner, width}), add(layer + "mlp.c_fc.bias", {inner});
      add(layer + "mlp.c_proj.weight", {width, inner}), add(layer + "mlp.c_proj.bias", {width});
    }
  };
  add("positional_embedding", {77, 16}), add("text_projection", {16, 12}), add("token_embedding.weight", {704, 16});
  add("visual.class_embedding", {24}), add("visual.positional_embedding", {17, 24}), add("visual.proj", {24, 12}), add("visual.conv1.weight", {24, 3, 4, 4});
  for (const char* norm : {"visual.ln_pre", "visual.ln_post"}) add(std::string(norm) + ".weight", {24}), add(std::string(norm) + ".bias", {24});
  add("ln_final.weight", {16}), add("ln_final.bias", {16});
  layers("visual.", 24, 48), layers("", 16, 64);
  tensors.push_back({"logit_scale", full({}, 2.0)});
  io::save_safetensors(folder + "/" + file, tensors);
  io::write_file(folder + "/open_clip_config.json", golden()["configs"]["openclip"].dump());  // for the heads of so narrow towers
  write_tokenizer(folder);
}

void write_head(const std::string& folder, std::vector<Index> widths = {12, 9, 7, 5, 3, 1}) {
  constexpr const char* numbers[] = {"0", "2", "4", "6", "7"};
  NamedTensors tensors;
  for (std::size_t i = 0; i < 5; ++i)
    for (const std::string& leaf : {std::string(".weight"), std::string(".bias")}) {
      const std::string name = std::string("layers.") + numbers[i] + leaf;
      tensors.push_back({name, weight_of(name, leaf == ".bias" ? Shape{widths[i + 1]} : Shape{widths[i + 1], widths[i]})});
    }
  io::save_safetensors(folder + "/sac+logos+ava1-l14-linearMSE.pth", tensors);
}

void check_scores(const Scorer& scorer, const GoldenJson& expected, double tolerance = 1e-5) {
  const std::vector<Score> together = scorer.score(pictures(), prompts());
  REQUIRE(together.size() == expected.size());
  for (std::size_t i = 0; i < together.size(); ++i) {
    CAPTURE(i);
    const double raw = expected[i][0].get<double>(), value = expected[i][1].get<double>();
    CHECK(std::abs(together[i].raw - raw) <= tolerance);
    CHECK(std::abs(together[i].value - value) <= tolerance * std::max(1.0, std::abs(value / raw)));
    const io::Image one[] = {pictures()[i]};
    const std::string prompt[] = {prompts()[i]};
    const std::vector<Score> alone = scorer.score(one, prompt);
    REQUIRE(alone.size() == 1);
    CHECK(std::abs(alone[0].raw - together[i].raw) <= 1e-6);  // a score does not depend on what else is in the batch
  }
}

}  // namespace

TEST_CASE("clip pixels: what transformers, torchvision and hpsv2 make of pictures of odd sizes") {
  const std::map<std::string, ClipFit> ways = {{"shorter_floor", ClipFit::shorter_floor}, {"shorter_half_even", ClipFit::shorter_half_even}, {"longer_padded", ClipFit::longer_padded}};
  CHECK(golden()["pixels"].size() == ways.size());
  for (const auto& way : golden()["pixels"].items())
    for (const auto& item : way.value().items()) {
      CAPTURE(way.key());
      CAPTURE(item.key());
      const io::Image one[] = {picture(item.key())};
      const Tensor x = clip_pixels(one, 16, ways.at(way.key()));
      CHECK(x.shape() == Shape{1, 16, 16, 3});
      const std::vector<double> got = projections("pixels." + item.key(), x);
      for (std::size_t k = 0; k < got.size(); ++k) CHECK(std::abs(got[k] - item.value()[k].get<double>()) <= 2e-6);
    }
  CHECK(golden()["pixels"]["shorter_floor"]["wide"] != golden()["pixels"]["shorter_half_even"]["wide"]);  // the middles differ by a pixel
  const io::Image thin[] = {io::make_image(1, 300)};
  check_error([&] { clip_pixels(thin, 16, ClipFit::shorter_floor); }, {"no picture to look at", "1 x 300"});
}

TEST_CASE("clip pixels: a picture as long as the side already gets its border, too, in the middle") {
  const io::Image one[] = {io::make_image(16, 9, 255)};
  const std::vector<double> v = numbers(clip_pixels(one, 16, ClipFit::longer_padded));
  const double black = (0 - clip_mean[0]) / clip_deviation[0], white = (1 - clip_mean[0]) / clip_deviation[0];
  for (Index y = 0; y < 16; ++y) CHECK(v[std::size_t(3 * 16 * y)] == doctest::Approx(y >= 3 && y < 12 ? white : black));
}

TEST_CASE("scorers: PickScore as its page computes it") {
  const TempFolder folder;
  write_clip(folder.path(), "gelu");
  const Scorer scorer = load_clip_scorer(small_pickscore, folder.path(), {});
  check_scores(scorer, golden()["pickscore"]);
  CHECK(scorer.full_name() == "pickscore:v1:" + weights_hash(folder.path()));
  CHECK(scorer.hash.size() == 10);
  const ClipConfig c = load_clip_config(folder / "config.json");
  Params towers = Params::shapes_only();
  ClipVision(towers, *c.vision), ClipTextTower(towers, *c.text);
  CHECK(scorer.bytes == 4 * std::uint64_t(towers.numel()));
}

TEST_CASE("scorers: HPSv2 as the package hpsv2 computes it, from a folder or a file of OpenCLIP's names") {
  const TempFolder folder;
  write_openclip(folder.path(), "HPS_v2_compressed.pt");
  check_scores(load_clip_scorer(small_hps, folder.path(), {}), golden()["hpsv2"]);
  const Scorer scorer = load_clip_scorer(small_hps, folder / "HPS_v2_compressed.pt", {});
  check_scores(scorer, golden()["hpsv2"]);
  CHECK(scorer.full_name().starts_with("hpsv2.0:v2.0:"));
}

TEST_CASE("scorers: CLIPScore as torchmetrics computes it, by whatever CLIP lies there; its name says which") {
  const TempFolder folder;
  write_clip(folder.path(), "quick_gelu");
  const Scorer scorer = load_scorer("clipscore", folder.path());
  check_scores(scorer, golden()["clipscore"]);
  CHECK(scorer.full_name() == "clipscore:vit-24x2-4-16:" + weights_hash(folder.path()));
}

TEST_CASE("scorers: the aesthetic predictor, tower and head") {
  const TempFolder folder;
  write_clip(folder.path(), "quick_gelu");
  write_head(folder.path());
  const Scorer scorer = load_aesthetic(folder.path(), {}, small(Activation::quick_gelu));
  check_scores(scorer, golden()["aesthetic"]);
  write_clip(folder.path(), "quick_gelu", 3);
  CHECK(scorer.full_name() != load_aesthetic(folder.path(), {}, small(Activation::quick_gelu)).full_name());  // both files' numbers are in the hash
}

TEST_CASE("scorers: the published aesthetic head gives its reference's numbers") {
  const char* const named = std::getenv("SSPO_TEST_DATA");
  const std::string file = (named ? named : std::string(SSPO_SOURCE_DIR) + "/../shared/data") + std::string("/aesthetic-head/sac+logos+ava1-l14-linearMSE.pth");
  if (!std::filesystem::exists(file)) {
    MESSAGE("skipped: no SSPO_TEST_DATA");
    return;
  }
  const AestheticHead head = AestheticHead::load(file);
  CHECK(head.inputs() == 768);
  const Tensor x = normal_of("embedding", {5, 768});
  const std::vector<double> got = numbers(head(x / norm(x, {-1}, true)));
  for (std::size_t i = 0; i < 5; ++i) CHECK(std::abs(got[i] - golden()["head"][i].get<double>()) <= 1e-5);
}

TEST_CASE("scorers: bf16 halves the weights and moves a cosine by little") {
  const TempFolder folder;
  write_clip(folder.path(), "gelu");
  const Scorer wide = load_clip_scorer(small_pickscore, folder.path(), {}), half = load_clip_scorer(small_pickscore, folder.path(), {.dtype = DType::bf16});
  CHECK(2 * half.bytes == wide.bytes);
  check_scores(half, golden()["pickscore"], 0.02);
}

TEST_CASE("scorers: mixed-up weights are told by one clear error") {
  const TempFolder folder;
  write_clip(folder.path(), "gelu");
  check_error([&] { load_scorer("pickscore", folder.path()); }, {"the weights are not those of pickscore", "vision 1280 wide, 32 layers, patches of 14 in 224 pixels; text 1024 wide, 24 layers; projection 1024; gelu",
                                                                  "vision 24 wide, 2 layers, patches of 4 in 16 pixels; text 16 wide, 2 layers; projection 12; gelu"});
  check_error([&] { load_clip_scorer(with_shape(pickscore, small(Activation::quick_gelu)), folder.path(), {}); }, {"projection 12; quick_gelu", "projection 12; gelu"});
  check_error([&] { load_scorer("hpsv2.0", folder.path()); }, {"no weights of hpsv2.0", "HPS_v2_compressed.pt"});
  check_error([&] { load_scorer("hpsv2.1", folder / "HPS_v2_compressed.pt"); }, {"by its name, the file is of another version than hpsv2.1", "HPS_v2.1_compressed.pt"});
  check_error([&] { load_scorer("hpsv2.0", folder / "HPS_v2.1_compressed.pt"); }, {"by its name", "hpsv2.0 v2.0"});
  check_error([&] { load_scorer("aesthetic", folder.path()); }, {"no head of the aesthetic predictor", "sac+logos+ava1-l14-linearMSE.pth"});
  check_error([&] { load_scorer("hps", folder.path()); }, {"no scorer of this name", "pickscore, hpsv2.0, hpsv2.1, clipscore, aesthetic", "hps"});

  write_head(folder.path(), {12, 9, 7, 5, 3, 2});
  check_error([&] { load_aesthetic(folder.path(), {}, small(Activation::gelu_erf)); }, {"layers.7.weight", "more than one number", "2"});
  write_head(folder.path(), {13, 9, 7, 5, 3, 1});
  check_error([&] { load_aesthetic(folder.path(), {}, small(Activation::gelu_erf)); }, {"the head is for other embeddings", "12 inputs", "13"});
  io::save_safetensors(folder / "sac+logos+ava1-l14-linearMSE.pth", {{"layers.0.weight", zeros({2, 12})}});
  check_error([&] { load_aesthetic(folder.path(), {}, small(Activation::gelu_erf)); }, {"layers.2.weight", "no head of LAION's"});

  std::filesystem::remove(folder / "vocab.json");
  check_error([&] { load_clip_scorer(small_pickscore, folder.path(), {}); }, {"vocab.json"});
}

TEST_CASE("scorers: pictures and prompts that do not match, and scores that are no numbers") {
  const TempFolder folder;
  write_clip(folder.path(), "quick_gelu");
  const Scorer scorer = load_scorer("clipscore", folder.path());
  CHECK(scorer.score({}, {}).empty());
  check_error([&] { scorer.score(pictures(), std::vector<std::string>{"a"}); }, {"each picture has a prompt", "4 prompts", "1"});
  const io::Weights weights = io::open_weights(folder.path());
  NamedTensors broken;
  for (const std::string& name : weights.names()) broken.push_back({name, name == "visual_projection.weight" ? full({12, 24}, NAN) : weights.load(name)});
  io::save_safetensors(folder / "model.safetensors", broken);
  const Scorer bad = load_scorer("clipscore", folder.path());
  check_error([&] { bad.score(pictures(), prompts()); }, {"the score is not finite", "picture 0 of 4", "a Red fox"});
}
