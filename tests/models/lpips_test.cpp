#include "sspo/models/lpips.hpp"

#include "models/golden.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

struct Files {
  std::string trunk, lin;
};

// The weights of make_lpips.py in two files, as torchvision and lpips have them.
Files write_weights(const TempFolder& folder, LpipsNet net) {
  Params wanted = Params::shapes_only();
  Lpips(wanted, {net});
  NamedTensors trunk = {{"classifier.1.weight", zeros({2, 2})}}, lin;
  for (const Param& p : wanted) {
    const Tensor w = weight_of(p.name(), stored_shape(p.shape()));
    if (p.name().starts_with("lin")) lin.push_back({p.name(), abs(w)});
    else trunk.push_back({p.name(), w.rank() == 4 ? w * std::sqrt(2.0) : w});
  }
  const Files files{folder / "trunk.safetensors", folder / "lin.safetensors"};
  io::save_safetensors(files.trunk, trunk);
  io::save_safetensors(files.lin, lin);
  return files;
}

std::pair<Tensor, Tensor> pictures(Index B, Index H, Index W) {
  const std::string size = " " + std::to_string(H) + " " + std::to_string(W);
  const Tensor a = to_nhwc(normal_of("a" + size, {B, 3, H, W})) * 0.4;
  return {a, a * 0.7 + to_nhwc(normal_of("b" + size, {B, 3, H, W})) * 0.3};
}

}  // namespace

TEST_CASE("lpips: values within 1e-5 of the package's, AlexNet and VGG, two sizes each") {
  double worst = 0;
  for (const LpipsNet net : {LpipsNet::alex, LpipsNet::vgg}) {
    const TempFolder folder(TempFolder::in_memory);
    const Files files = write_weights(folder, net);
    const LoadedLpips lpips = load_lpips(net, files.trunk, files.lin);
    CHECK(lpips.hash.size() == 21);
    int runs = 0;
    for (const GoldenJson& run : golden_file("lpips.json")) {
      if ((run.at("net") == "alex") != (net == LpipsNet::alex)) continue;
      ++runs;
      const auto pair = pictures(run.at("batch").get<Index>(), run.at("height").get<Index>(), run.at("width").get<Index>());
      const std::vector<double> got = numbers(lpips.model(pair.first, pair.second)), expected = run.at("value").get<std::vector<double>>();
      REQUIRE(got.size() == expected.size());
      for (std::size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(got[i] - expected[i]) / expected[i]);
      for (const double same : numbers(lpips.model(pair.first, pair.first))) CHECK(same == 0);
    }
    CHECK(runs == 2);
  }
  MESSAGE("largest relative error " << worst);
  CHECK(worst <= 1e-5);
}

TEST_CASE("lpips: the other network's weights, and pictures that do not fit, are refused") {
  const TempFolder folder(TempFolder::in_memory);
  const Files files = write_weights(folder, LpipsNet::alex);
  check_error([&] { load_lpips(LpipsNet::vgg, files.trunk, files.lin); }, {"trunk.safetensors", "missing", "'features.2.weight'", "of another shape", "'features.0.weight' is [64, 3, 11, 11]"});
  check_error([&] { load_lpips(LpipsNet::alex, files.trunk, files.trunk); }, {"trunk.safetensors", "'lin0.model.1.weight'"});
  const LoadedLpips lpips = load_lpips(LpipsNet::alex, files.trunk, files.lin);
  check_error([&] { lpips.model(zeros({1, 64, 64, 3}), zeros({1, 64, 63, 3})); }, {"lpips", "[B, H, W, 3] twice", "[1, 64, 63, 3]"});
  check_error([&] { lpips.model(zeros({1, 20, 20, 3}), zeros({1, 20, 20, 3})); }, {"max_pool", "too small"});
}
