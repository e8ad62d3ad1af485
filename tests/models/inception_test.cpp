#include "sspo/models/inception.hpp"

#include "models/golden.hpp"
#include "models/pooling.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

// The weights of make_inception.py under the checkpoint's names, from the parameters that the network asks for.
NamedTensors seeded_weights() {
  Params wanted = Params::shapes_only();
  Inception{Scope(wanted)};
  NamedTensors tensors;
  for (const Param& p : wanted) {
    const std::string& name = p.name();
    if (!name.ends_with(".conv.bias")) {
      tensors.push_back({name, weight_of(name, stored_shape(p.shape()))});
      continue;
    }
    for (const std::string part : {"weight", "bias", "running_mean", "running_var"}) {
      const std::string bn = name.substr(0, name.size() - 9) + "bn." + part;
      const Tensor w = weight_of(bn, p.shape());
      tensors.push_back({bn, part == "running_mean" ? w - 1.0 : part == "running_var" ? w * 0.5 : w});
    }
  }
  return tensors;
}

}  // namespace

TEST_CASE("inception: features of four layers within 1e-5 of pytorch-fid's, at three sizes") {
  const TempFolder folder(TempFolder::in_memory);
  NamedTensors weights = seeded_weights();
  weights.push_back({"fc.weight", zeros({1008, 2048})});                       // what the file holds besides
  weights.push_back({"fc.bias", zeros({1008})});
  weights.push_back({"Conv2d_1a_3x3.bn.num_batches_tracked", zeros({}, DType::i64)});
  io::save_safetensors(folder / "inception.safetensors", weights);
  const LoadedInception net = load_inception(folder / "inception.safetensors");
  CHECK(net.hash.size() == 10);
  double worst = 0;
  for (const GoldenJson& run : golden_file("inception.json")) {
    const Index B = run.at("batch").get<Index>(), H = run.at("height").get<Index>(), W = run.at("width").get<Index>();
    const Tensor x = to_nhwc(normal_of("pictures " + std::to_string(H) + " " + std::to_string(W), {B, 3, H, W})) * 0.25 + 0.5;
    for (const auto& [key, expected] : run.at("features").items()) {
      const Index n = std::stoll(key), step = std::max<Index>(1, n / 256);
      const Tensor y = net.model(x, n);
      REQUIRE(y.shape() == Shape{B, n});
      CHECK_FALSE(y.tracked());
      const std::vector<double> got = numbers(y), values = expected.at("values").get<std::vector<double>>(), sums = projections("features " + std::to_string(n), y);
      const double size = std::max(1.0, expected.at("rms").get<double>());
      std::size_t i = 0;
      for (Index b = 0; b < B; ++b)
        for (Index j = 0; j < n; j += step) worst = std::max(worst, std::abs(got[std::size_t(b * n + j)] - values.at(i++)) / size);
      CHECK(i == values.size());
      for (std::size_t k = 0; k < sums.size(); ++k) worst = std::max(worst, std::abs(sums[k] - expected.at("projections")[k].get<double>()) / size);
    }
  }
  MESSAGE("largest error " << worst);
  CHECK(worst <= 1e-5);
  check_error([&] { net.model(zeros({1, 8, 8, 4})); }, {"inception", "[B, H, W, 3]"});
  check_error([&] { net.model(zeros({1, 8, 8, 3}), 100); }, {"2048, 768, 192 or 64", "100"});

  weights.erase(std::find_if(weights.begin(), weights.end(), [](const auto& t) { return t.name == "Mixed_6c.branch7x7_2.bn.running_var"; }));
  weights.push_back({"Mixed_9.conv.weight", zeros({1, 1, 1, 1})});
  io::save_safetensors(folder / "wrong.safetensors", weights);
  check_error([&] { load_inception(folder / "wrong.safetensors"); }, {"wrong.safetensors", "1 missing: 'Mixed_6c.branch7x7_2.bn.running_var'", "'Mixed_9.conv.weight'"});
}

TEST_CASE("pools: a maximum of windows, padded by nothing; a mean of the pixels that are there") {
  const Tensor x = Tensor::from<float>({1, 5, 2, 0, -3, 8, 4, 4, 9, 7, -1, 6}, {1, 3, 4, 1});
  CHECK(numbers(max_pool(x, 2, 1)) == std::vector<double>{8, 8, 4, 9, 8, 6});
  CHECK(numbers(max_pool(x, 2, 2)) == std::vector<double>{8, 4});
  CHECK(numbers(max_pool(x - 10.0, 3, 1, 1)) == std::vector<double>{-2, -2, -2, -6, -1, -1, -2, -4, -1, -1, -2, -4});
  CHECK(numbers(max_pool(x, 3, 2, 1)) == std::vector<double>{8, 8, 9, 8});
  const std::vector<double> means = numbers(avg_pool_same3(x));
  CHECK(means[0] == doctest::Approx((1 + 5 - 3 + 8) / 4.0));
  CHECK(means[1] == doctest::Approx((1 + 5 + 2 - 3 + 8 + 4) / 6.0));
  CHECK(means[5] == doctest::Approx((1 + 5 + 2 - 3 + 8 + 4 + 9 + 7 - 1) / 9.0));
  CHECK(numbers(avg_pool_same3(full({1, 1, 1, 2}, 3.0))) == std::vector<double>{27.0 / 9, 3});
  check_error([&] { max_pool(x, 4, 1); }, {"max_pool", "4 pixels or more", "too small"});
}
