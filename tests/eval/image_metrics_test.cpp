#include "sspo/eval/image_metrics.hpp"

#if defined(SSPO_EIGEN)
#include "sspo/eval/frechet.hpp"
#endif
#include "models/golden.hpp"
#include "sspo/ops/matmul.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

const GoldenJson& golden() {
  static const GoldenJson json = golden_file("image_metrics.json");
  return json;
}

io::Image base(Index width, Index height) {
  io::Image a = io::make_image(width, height);
  for (Index y = 0; y < height; ++y)
    for (Index x = 0; x < width; ++x)
      for (Index c = 0; c < 3; ++c) a.at(x, y)[c] = std::uint8_t((x * x * 3 + y * 7 + x * y * (c + 2) + 40 * c) % 251);
  return a;
}

// The second picture, as make_image_metrics.py makes it.
io::Image other(const io::Image& a, const std::string& kind) {
  io::Image b = a;
  const std::vector<double> noise = uniform_of("noise", Index(a.rgb.size()));
  const auto wrap = [](Index i, Index n) { return (i + n) % n; };
  for (Index y = 0; y < a.height; ++y)
    for (Index x = 0; x < a.width; ++x)
      for (Index c = 0; c < 3; ++c) {
        const Index i = 3 * (y * a.width + x) + c;
        int v = a.rgb[std::size_t(i)];
        if (kind == "noise") v = std::min(std::max(v + int(noise[std::size_t(i)] * 20), 0), 255);
        else if (kind == "blur") v = (v + a.at(x, wrap(y - 1, a.height))[c] + a.at(wrap(x - 1, a.width), y)[c] + a.at(wrap(x - 2, a.width), y)[c]) / 4;
        else if (kind == "shift") v = std::min(v + 9, 255);
        else v = 128;
        b.rgb[std::size_t(i)] = std::uint8_t(v);
      }
  return b;
}

Tensor features(const std::string& name, Index n, Index d) {
  const Tensor x = cast(normal_of(name, {n, d}), DType::f64);
  return x + 0.5 * cat({slice(x, 1, d - 1, d), slice(x, 1, 0, d - 1)}, 1) + 0.25;
}

std::pair<Tensor, Tensor> pair_of(const GoldenJson& run) {
  const Index n = run.at("n").get<Index>(), m = run.value("m", n), d = run.at("d").get<Index>();
  const double shift = run.at("shift").get<double>();
  return {features("real " + std::to_string(n) + " " + std::to_string(d), n, d), features("drawn " + std::to_string(m) + " " + std::to_string(d), m, d) * (1 + shift) + shift};
}

}  // namespace

TEST_CASE("image metrics: PSNR and SSIM are scikit-image's") {
  for (const GoldenJson& run : golden().at("pictures")) {
    CAPTURE(run.dump());
    const io::Image a = base(run.at("width").get<Index>(), run.at("height").get<Index>()), b = other(a, run.at("kind").get<std::string>());
    CHECK(std::abs(psnr(a, b) - run.at("psnr").get<double>()) < 1e-12 * 30);
    CHECK(std::abs(ssim(a, b) - run.at("ssim").get<double>()) < 1e-12);
    CHECK(psnr(a, b) == psnr(b, a));
    CHECK(ssim(a, a) == doctest::Approx(1).epsilon(1e-15));
    CHECK(psnr(a, a) == INFINITY);
  }
  CHECK(psnr(io::make_image(1, 1, 0), io::make_image(1, 1, 255)) == 0);
  check_error([] { psnr(io::make_image(4, 5), io::make_image(5, 4)); }, {"psnr", "different sizes", "4x5 and 5x4"});
  check_error([] { ssim(io::make_image(10, 30), io::make_image(10, 30)); }, {"ssim", "11 pixels", "10x30"});
  check_error([] { psnr(io::make_image(0, 0), io::make_image(0, 0)); }, {"1 pixels or more"});
}

TEST_CASE("image metrics: the kernel distance of whole sets is torchmetrics'") {
  for (const GoldenJson& run : golden().at("kid")) {
    CAPTURE(run.dump());
    const auto sets = pair_of(run);
    const double expected = run.at("value").get<double>();
    CHECK(std::abs(squared_mmd(sets.first, sets.second) - expected) < 1e-10 * std::max(1.0, std::abs(expected)));
    // A subset of all is the set itself, in another order.
    const KernelDistance whole = kernel_distance(sets.first, sets.second, Rng{1}, {.subsets = 3});
    CHECK(whole.subset_size == run.at("n").get<Index>());
    CHECK(std::abs(whole.mean - expected) < 1e-10 * std::max(1.0, std::abs(expected)));
    CHECK(whole.deviation < 1e-10);
  }
}

TEST_CASE("image metrics: the kernel distance draws the same subsets again, and its mean is near the whole's") {
  const Tensor a = features("a", 400, 5), b = features("b", 300, 5) * 1.3;
  const double whole = squared_mmd(a, b);
  const KernelDistance once = kernel_distance(a, b, Rng{7} / "kid", {.subsets = 60, .subset_size = 50}), again = kernel_distance(a, b, Rng{7} / "kid", {.subsets = 60, .subset_size = 50});
  CHECK(once.mean == again.mean);
  CHECK(once.deviation == again.deviation);
  CHECK(once.mean != kernel_distance(a, b, Rng{8} / "kid", {.subsets = 60, .subset_size = 50}).mean);
  CHECK(once.deviation > 0);
  CHECK(std::abs(once.mean - whole) < 4 * once.deviation / std::sqrt(60.0));
  // Unbiased: of two sets from one distribution, around 0 and on either side of it.
  int below = 0;
  for (int i = 0; i < 20; ++i) below += squared_mmd(features("x" + std::to_string(i), 30, 4), features("y" + std::to_string(i), 30, 4)) < 0;
  CHECK(below >= 4);
  CHECK(below <= 18);
}

TEST_CASE("image metrics: precision and recall are those of all distances, written out") {
  for (const GoldenJson& run : golden().at("precision_recall")) {
    CAPTURE(run.dump());
    const auto sets = pair_of(run);
    const PrecisionRecall pr = precision_recall(sets.first, sets.second, run.at("k").get<Index>());
    CHECK(pr.precision == doctest::Approx(run.at("precision").get<double>()).epsilon(1e-12));
    CHECK(pr.recall == doctest::Approx(run.at("recall").get<double>()).epsilon(1e-12));
    const PrecisionRecall same = precision_recall(sets.first, sets.first);
    CHECK(same.precision == 1);
    CHECK(same.recall == 1);
    const PrecisionRecall far = precision_recall(sets.first, sets.second + 100.0);
    CHECK(far.precision == 0);
    CHECK(far.recall == 0);
  }
  // Half of the drawn ones are copies of one real feature: radius 0 there, and still inside.
  const Tensor real = features("r", 12, 3), copies = expand(slice(real, 0, 0, 1), {6, 3});
  CHECK(precision_recall(real, cat({copies, slice(real, 0, 1, 7)}, 0)).precision == 1);
}

TEST_CASE("image metrics: bad features are refused") {
  check_error([] { squared_mmd(ones({3}), ones({3, 1})); }, {"squared_mmd", "[N, D]", "[3] f32"});
  check_error([] { squared_mmd(ones({3, 2}), ones({3, 1})); }, {"2 numbers a feature", "1"});
  check_error([] { precision_recall(ones({5, 2}), full({5, 2}, NAN)); }, {"precision_recall", "not finite"});
  check_error([] { precision_recall(ones({5, 2}), ones({3, 2}), 3); }, {"1 <= k <= 2", "3"});
  check_error([] { kernel_distance(ones({5, 2}), ones({5, 2}), Rng{1}, {.subsets = 0}); }, {"kernel_distance", "1 or more", "0 of 1000"});
  check_error([] { kernel_distance(ones({1, 2}), ones({5, 2}), Rng{1}); }, {"N >= 2"});
}

#if defined(SSPO_EIGEN)
TEST_CASE("image metrics: the Frechet distance is pytorch-fid's, with fewer features than dimensions, too") {
  for (const GoldenJson& run : golden().at("frechet")) {
    CAPTURE(run.dump());
    const auto sets = pair_of(run);
    // Where covariances have no full rank, the reference's own square root is right to 1e-6 alone.
    const double expected = run.at("value").get<double>(), tolerance = run.at("n").get<Index>() > run.at("d").get<Index>() ? 1e-9 : 1e-6;
    const double got = frechet_distance(feature_statistics(sets.first), feature_statistics(sets.second));
    CAPTURE(got - expected);
    CHECK(std::abs(got - expected) < tolerance * std::max(1.0, expected));
  }
}
#endif
