#include "sspo/eval/judge.hpp"

#include <map>

#include "models/golden.hpp"
#include "sspo/grad/backward.hpp"
#include "sspo/models/bpe_trainer.hpp"
#include "sspo/ops/loss.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

const GoldenJson& golden() {
  static const GoldenJson json = golden_file("judge.json");
  return json;
}

// The numbers of make_judge.py, in the engine's layout.
Params golden_params(const JudgeConfig& config) {
  Params wanted = Params::shapes_only(), params;
  Judge(wanted, config);
  for (const Param& p : wanted) {
    if (p.name() == "text.log_scale") {
      params.add(p.name(), Tensor::from(std::vector<float>{2.25f}, Shape{}));
      continue;
    }
    const Tensor w = weight_of(p.name(), stored_shape(p.shape()));
    params.add(p.name(), w.rank() == 4 ? to_nhwc(w) : w);
  }
  return params;
}

CaptionTokens golden_tokens() {
  std::vector<std::int32_t> ids;
  std::vector<float> shares;
  Index length = 0;
  for (const GoldenJson& caption : golden()["tokens"]) {
    const std::vector<std::int32_t> words = caption[0].get<std::vector<std::int32_t>>();
    length = caption[1].get<Index>();
    for (Index i = 0; i < length; ++i) {
      const bool word = i >= 1 && i <= Index(words.size());
      ids.push_back(word ? words[std::size_t(i - 1)] : i == 0 ? 0 : 1);
      shares.push_back(word ? 1 / float(words.size()) : 0);
    }
  }
  const Index n = Index(golden()["tokens"].size());
  return {Tensor::from(ids, {n, length}), Tensor::from(shares, {n, length})};
}

JudgeConfig small(Index size = 12) {
  JudgeConfig c;
  c.styles = {"filled", "hollow"};
  c.size = size, c.vocab_size = 600, c.max_tokens = 6;
  c.style_channels = {8}, c.picture_channels = {8, 8};
  c.features = 6, c.embedding = 4, c.token_width = 5;
  return c;
}

}  // namespace

TEST_CASE("judge: values and gradients are those of the same network in torch") {
  const JudgeConfig config = read_judge_config(golden()["config"].dump(), {.path = "judge.json"});
  Params params = golden_params(config);
  const Judge judge(params, config);
  const Tensor x = to_nhwc(normal_of("pictures", {4, 3, config.size, config.size}));
  std::map<std::string, Tensor> out = {{"style", judge.style(x)}, {"features", judge.features(x)}, {"text", judge.text(golden_tokens())}};
  out["embed"] = judge.embed(out["features"]);
  const std::vector<Index> groups = golden()["groups"].get<std::vector<Index>>();
  out["contrast"] = contrast(out["embed"], out["text"], judge.scale(), groups);
  for (const auto& of : out) {
    const std::string& name = of.first;
    const std::vector<double> expected = golden()["outputs"][name].get<std::vector<double>>(), got = numbers(of.second);
    REQUIRE(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) CHECK_MESSAGE(std::abs(got[i] - expected[i]) <= 1e-5 * std::max(1.0, rms(expected)), name << " " << i);
  }
  const std::vector<std::int64_t> styles = golden()["styles"].get<std::vector<std::int64_t>>();
  const Gradients g = backward(out["contrast"] + cross_entropy(out["style"], Tensor::from(styles, {4})));
  REQUIRE(golden()["gradients"].size() == params.size());
  for (const Param& p : params) {
    const Tensor* gradient = p.gradient(g);
    REQUIRE_MESSAGE(gradient, p.name());
    const std::vector<double> expected = golden()["gradients"][p.name()].get<std::vector<double>>();
    const std::vector<double> got = projections(p.name(), gradient->rank() == 4 ? to_nchw(*gradient) : *gradient);
    for (std::size_t i = 0; i < 4; ++i) CHECK_MESSAGE(std::abs(got[i] - expected[i]) <= 1e-5 * std::max(1.0, rms(expected)), p.name() << " " << i);
  }
}

TEST_CASE("judge: pictures of one thing are no negatives of each other") {
  const Tensor a = normal(Rng(1), {3, 4}), b = normal(Rng(2), {3, 4}), scale = full({}, 2);
  const double apart = contrast(a, b, scale, std::vector<Index>{0, 1, 2}).item<float>(), together = contrast(a, b, scale, std::vector<Index>{0, 0, 0}).item<float>();
  CHECK(together == doctest::Approx(0).epsilon(1e-6));  // each has no one but itself to be taken for
  CHECK(apart > 0.1);
  check_error([&] { contrast(a, b, scale, std::vector<Index>{0, 1}); }, {"contrast", "2 groups"});
}

TEST_CASE("judge: ranks count what is above the answer, ties not") {
  const Tensor s = Tensor::from(std::vector<float>{.9f, .1f, .5f, .5f, .5f, .5f, -1, 3, 2}, {3, 3});
  CHECK(ranks(s, std::vector<Index>{0, 1, 0}) == std::vector<Index>{0, 0, 2});
  CHECK(ranks(s, std::vector<Index>{1, 2, 2}) == std::vector<Index>{2, 0, 1});
  check_error([&] { ranks(s, std::vector<Index>{1}); }, {"ranks", "expected  3"});
}

TEST_CASE("judge: a caption's tokens share one, whatever stands around them") {
  const std::vector<std::string> captions = {"red heart", "", "red heart red heart red heart"};
  const ClipTokenizer tokenizer = train_bpe(captions, {.size = 530});
  const CaptionTokens t = caption_tokens(tokenizer, captions, 6, Device::cpu());
  const std::vector<float> shares = t.shares.to_vector<float>();
  for (int row = 0; row < 3; ++row) {
    double sum = 0;
    for (int i = 0; i < 6; ++i) sum += shares[std::size_t(row * 6 + i)];
    CHECK(sum == doctest::Approx(row == 1 ? 0 : 1));
    CHECK(shares[std::size_t(row * 6)] == 0);      // start
    CHECK(shares[std::size_t(row * 6 + 5)] == 0);  // end, or what fills up
  }
}

TEST_CASE("judge: a config that is none is told by its field") {
  const auto error = [](const std::string& text) { return error_of([&] { read_judge_config(text, {.path = "config.json"}); }); };
  CHECK(error(R"({"styles": ["one"]})").find("styles") != std::string::npos);
  CHECK(error(R"({"styles": ["a", "b"], "style_channels": [12]})").find("multiples of 8") != std::string::npos);
  CHECK(error(R"({"styles": ["a", "b"], "size": 0})").find("size") != std::string::npos);
  CHECK(error(R"({"styles": ["a", "b"]})") == "(no error)");
}

TEST_CASE("judge: saved and loaded it says the same") {
  const std::vector<std::string> texts = {"a red circle", "a blue square"};
  const JudgeConfig config = small();
  Params params(Device::cpu(), Rng(3));
  const Judge judge(params, config);
  const TempFolder folder;
  io::save_component(folder / "judge",
                     R"({"styles": ["filled", "hollow"], "size": 12, "vocab_size": 600, "max_tokens": 6, "style_channels": [8], "picture_channels": [8, 8],
                         "features": 6, "embedding": 4, "token_width": 5})", "model", to_checkpoint(params));
  std::filesystem::create_directories(folder / "tokenizer");
  const ClipTokenizer tokenizer = train_bpe(texts, {.size = 520});
  tokenizer.save(folder / "tokenizer");
  const LoadedJudge loaded = load_judge(folder.path());
  const Tensor x = normal(Rng(4), {2, 12, 12, 3});
  CHECK(same_bits(loaded.net.style(x), judge.style(x)));
  CHECK(same_bits(loaded.net.features(x), judge.features(x)));
  CHECK(same_bits(loaded.captions(texts), judge.text(caption_tokens(tokenizer, texts, 6, Device::cpu()))));
  CHECK(loaded.style_named("hollow") == 1);
  check_error([&] { loaded.style_named("noto"); }, {"filled, hollow", "noto"});
}
