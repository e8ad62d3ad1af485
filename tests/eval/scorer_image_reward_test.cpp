#include "models/blip_golden.hpp"
#include "sspo/eval/scorer.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

io::Image picture(Index i, Index width, Index height) {  // as make_blip.py draws it
  io::Image image = io::make_image(width, height);
  for (Index y = 0; y < height; ++y)
    for (Index x = 0; x < width; ++x)
      for (Index c = 0; c < 3; ++c) image.at(x, y)[c] = std::uint8_t((x * x * (i + 1) + y * 11 + x * y * (c + 1) + 60 * c) % 256);
  return image;
}

// A folder as people download it, with a small model: the weights of make_blip.py, and what the checkpoint holds besides.
void write_folder(const TempFolder& folder) {
  const GoldenJson& score = golden_blip().at("score");
  GoldenJson med = score.at("text");
  io::write_file(folder / "med_config.json", med.dump());
  io::write_file(folder / "vocab.txt", io::File(SSPO_SOURCE_DIR "/tests/golden/wordpiece/vocab.txt").text(1 << 20));
  NamedTensors tensors = checkpoint_of<ImageReward>(config_of(score));
  tensors.push_back({"blip.text_encoder.embeddings.position_ids", arange(48, 0, 1, DType::i64)});
  tensors.push_back({"blip.vision_proj.weight", zeros({2, 64})});
  io::save_safetensors(folder / "ImageReward.safetensors", tensors);
}

struct Case {
  std::vector<io::Image> pictures;
  std::vector<std::string> prompts;
};
Case golden_case() {
  Case c;
  const GoldenJson& score = golden_blip().at("score");
  c.prompts = score.at("prompts").get<std::vector<std::string>>();
  for (std::size_t i = 0; i < c.prompts.size(); ++i)
    c.pictures.push_back(picture(Index(i), score.at("pictures")[i][0].get<Index>(), score.at("pictures")[i][1].get<Index>()));
  return c;
}

}  // namespace

TEST_CASE("imagereward: pictures and prompts give the package's scores, end to end") {
  const TempFolder folder(TempFolder::in_memory);
  write_folder(folder);
  const Scorer scorer = load_scorer("imagereward", folder.path());
  CHECK(scorer.full_name() == "imagereward:v1.0:" + scorer.hash);
  CHECK(scorer.hash.size() == 10);
  const GoldenJson& expected = golden_blip().at("score");
  const Case c = golden_case();
  const std::vector<Score> scores = scorer.score(c.pictures, c.prompts);
  REQUIRE(scores.size() == c.prompts.size());
  Index numel = 0;
  for (const auto& t : checkpoint_of<ImageReward>(config_of(expected))) numel += t.tensor.numel();
  CHECK(scorer.bytes == std::uint64_t(4 * numel));
  for (std::size_t i = 0; i < scores.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(scores[i].raw - expected.at("raw")[i].get<double>()) < 1e-5);
    CHECK(std::abs(scores[i].value - expected.at("value")[i].get<double>()) < 1e-5);
  }
  // One at a time, or many: the same.
  std::vector<io::Image> many;
  std::vector<std::string> prompts;
  for (std::size_t i = 0; i < 11; ++i) many.push_back(c.pictures[i % 4]), prompts.push_back(c.prompts[i % 4]);
  const std::vector<Score> all = scorer.score(many, prompts);
  REQUIRE(all.size() == 11);
  for (std::size_t i = 0; i < 11; ++i) CHECK(std::abs(all[i].value - scores[i % 4].value) < 1e-5);
  CHECK(scorer.score({}, {}).empty());
  check_error([&] { scorer.score(std::span(many).first(2), std::span(prompts).first(3)); }, {"imagereward", "each picture has a prompt", "2 prompts"});

  const Scorer half = load_scorer("imagereward", folder.path(), {.dtype = DType::bf16});
  CHECK(half.bytes < scorer.bytes);
  CHECK(half.hash == scorer.hash);
  const std::vector<Score> rounded = half.score(c.pictures, c.prompts);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    CHECK(std::abs(rounded[i].value - scores[i].value) < 0.05);
    CHECK(rounded[i].value != scores[i].value);
  }
}

TEST_CASE("imagereward: what is missing or does not fit is said once, by file") {
  const TempFolder folder(TempFolder::in_memory);
  check_error([&] { load_scorer("imagereward", folder.path()); }, {"no weights of ImageReward", "ImageReward.pt", "download"});
  check_error([&] { load_scorer("image-reward", folder.path()); }, {"no scorer of this name", "imagereward", "image-reward"});
  write_folder(folder);
  io::write_file(folder / "vocab.txt", std::string_view("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nfox\n"));
  check_error([&] { load_scorer("imagereward", folder.path()); }, {"vocab.txt", "870 tokens with [DEC] and [ENC]", "8"});
  write_folder(folder);
  GoldenJson med = golden_blip().at("score").at("text");
  med["num_hidden_layers"] = 3;
  io::write_file(folder / "med_config.json", med.dump());
  check_error([&] { load_scorer("imagereward", folder.path()); }, {"ImageReward.safetensors", "missing", "'blip.text_encoder.encoder.layer.2."});
  write_folder(folder);
  NamedTensors tensors = checkpoint_of<ImageReward>(config_of(golden_blip().at("score")));
  for (auto& t : tensors)
    if (t.name == "mlp.layers.7.bias") t.tensor = full({1}, NAN);
  io::save_safetensors(folder / "ImageReward.safetensors", tensors);
  const Case c = golden_case();
  check_error([&] { load_scorer("imagereward", folder.path()).score(c.pictures, c.prompts); }, {"a score is not finite", "picture 0"});
}
