#include "sspo/models/blip.hpp"

#include <algorithm>

#include "models/blip_golden.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

// Within 1e-5 of the golden projections and first values, relative to rms where that is above 1; the largest of the errors.
double error_of_states(const char* name, const Tensor& y, Index token, const GoldenJson& expected) {
  const double size = std::max(1.0, expected.at("rms").get<double>());
  double worst = 0;
  const std::vector<double> sums = projections(name, y), values = numbers(y), first = expected.at("first").get<std::vector<double>>();
  for (std::size_t k = 0; k < sums.size(); ++k) worst = std::max(worst, std::abs(sums[k] - expected.at("projections")[k].get<double>()) / size);
  const auto [B, N, D] = y.dims<3>();
  for (std::size_t i = 0; i < first.size(); ++i) {
    const Index b = Index(i) / 4, d = Index(i) % 4;
    worst = std::max(worst, std::abs(values[std::size_t((b * N + token) * D + d)] - first[i]) / size);
  }
  REQUIRE(Index(first.size()) == 4 * B);
  return worst;
}

GoldenJson listing_of(const Params& params) {
  std::vector<std::string> lines;
  for (const Param& p : params) lines.push_back(p.name() + " " + stored_shape(p.shape()).str() + "\n");
  std::sort(lines.begin(), lines.end());
  std::string all;
  for (const std::string& line : lines) all += line;
  return {lines.size(), hash_of(all)};
}

BertTokens tokens_of(const GoldenJson& rows, Index length) {
  std::vector<std::int32_t> ids;
  std::vector<bool> present;
  for (const GoldenJson& row : rows)
    for (Index i = 0; i < length; ++i) {
      const bool there = i < Index(row.size());
      ids.push_back(there ? row[std::size_t(i)].get<std::int32_t>() : 0);
      present.push_back(there);
    }
  const Index n = Index(rows.size());
  return {Tensor::from(ids, {n, length}), Tensor::from(present, {n, 1, 1, length})};
}

}  // namespace

TEST_CASE("blip: states and rewards within 1e-5 of image-reward's own modules, two shapes") {
  double worst = 0;
  for (const GoldenJson& run : golden_blip().at("runs")) {
    CAPTURE(run.at("vision").dump());
    const ImageRewardConfig config = config_of(run);
    Params params = golden_params<ImageReward>(config);
    CHECK(listing_of(params) == run.at("parameters"));   // names and shapes are the package's

    const Vit vision(params / "blip" / "visual_encoder", config.vision);
    const BlipText text(params / "blip" / "text_encoder", config.text);
    const ImageReward reward(params, config);
    const Index n = Index(run.at("ids").size()), side = config.vision.image_size;
    const Tensor pictures = to_nhwc(normal_of("pictures", {n, 3, side, side}));
    const BertTokens tokens = tokens_of(run.at("ids"), 35);
    const Tensor picture = vision(pictures), states = text(tokens, picture);
    worst = std::max(worst, error_of_states("picture", picture, 1, run.at("picture")));
    worst = std::max(worst, error_of_states("states", states, 0, run.at("states")));
    const std::vector<double> raw = numbers(reward(pictures, tokens)), expected = run.at("raw").get<std::vector<double>>();
    REQUIRE(raw.size() == expected.size());
    for (std::size_t i = 0; i < raw.size(); ++i) worst = std::max(worst, std::abs(raw[i] - expected[i]) / std::max(1.0, std::abs(expected[i])));

    // Padding changes nothing: a text alone, without it, has the same reward.
    const Index own = Index(run.at("ids")[0].size());
    const double alone = reward(slice(pictures, 0, 0, 1), tokens_of(GoldenJson::array({run.at("ids")[0]}), own)).item<float>();
    CHECK(std::abs(alone - expected[0]) <= 1e-5 * std::max(1.0, std::abs(expected[0])));
    Params lent = golden_params<ImageReward>(config);
    lent.compute_in(DType::bf16);
    const std::vector<double> rounded = numbers(ImageReward(lent, config)(cast(pictures, DType::bf16), tokens));
    for (std::size_t i = 0; i < raw.size(); ++i) CHECK(std::abs(rounded[i] - raw[i]) < 0.1);
    check_error([&] { vision(zeros({1, side, side + 1, 3})); }, {"vision transformer", "pictures of another size"});
    REQUIRE(n > 1);
    check_error([&] { text(tokens, slice(picture, 0, 0, 1)); }, {"states of a picture", "[1, "});
    check_error([&] { text(tokens_of(run.at("ids"), 49), picture); }, {"1 to 48", "49"});
  }
  MESSAGE("largest error " << worst);
  CHECK(worst <= 1e-5);
}

TEST_CASE("blip: the defaults are ImageReward-v1.0's size") {
  Params wanted = Params::shapes_only();
  ImageReward(wanted, {});
  CHECK(listing_of(wanted) == golden_blip().at("published").at("parameters"));
}

TEST_CASE("blip: a vision transformer's shape is read from its weights") {
  const GoldenJson& score = golden_blip().at("score");
  const ImageRewardConfig config = config_of(score);
  const TempFolder folder(TempFolder::in_memory);
  NamedTensors tensors = checkpoint_of<ImageReward>(config);
  io::save_safetensors(folder / "a.safetensors", tensors);
  const std::string prefix = "blip.visual_encoder.";
  const VitConfig found = vit_config_of(io::open_weights(folder / "a.safetensors"), prefix, "a");
  CHECK(found.image_size == config.vision.image_size);
  CHECK(found.patch_size == config.vision.patch_size);
  CHECK(found.hidden_size == config.vision.hidden_size);
  CHECK(found.intermediate_size == config.vision.intermediate_size);
  CHECK(found.num_hidden_layers == config.vision.num_hidden_layers);
  CHECK(found.num_attention_heads == config.vision.num_attention_heads);
  for (auto& t : tensors)
    if (t.name == prefix + "pos_embed") t.tensor = zeros({1, 4, config.vision.hidden_size});
  io::save_safetensors(folder / "b.safetensors", tensors);
  check_error([&] { vit_config_of(io::open_weights(folder / "b.safetensors"), prefix, "b"); }, {"b", "pos_embed", "no square", "4"});
  io::save_safetensors(folder / "c.safetensors", {{"x", zeros({1})}});
  check_error([&] { vit_config_of(io::open_weights(folder / "c.safetensors"), prefix, "c"); }, {"c", "patch_embed.proj.weight", "missing"});
}

TEST_CASE("blip: med_config.json is checked field by field") {
  const GoldenJson good = golden_blip().at("score").at("text");
  const BertConfig c = read_bert_config(good.dump(), {.path = "med_config.json"});
  CHECK(c.hidden_size == 24);
  CHECK(c.vocab_size == 870);
  CHECK(c.hidden_act == Activation::gelu_erf);
  CHECK(c.layer_norm_eps == 1e-12);
  const auto with = [&](const char* field, const GoldenJson& value) {
    GoldenJson json = good;
    json[field] = value;
    return error_of([&] { read_bert_config(json.dump(), {.path = "med_config.json"}); });
  };
  CHECK(with("model_type", "roberta").find("model_type") != std::string::npos);
  CHECK(with("add_cross_attention", false).find("no text encoder of BLIP") != std::string::npos);
  CHECK(with("num_attention_heads", 5).find("a divisor of 24") != std::string::npos);
  CHECK(with("position_embedding_type", "relative_key").find("position_embedding_type") != std::string::npos);
}
