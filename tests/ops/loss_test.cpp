// Losses and the small ops of diffusion against their formulas, in double.
#include "sspo/grad/backward.hpp"
#include "sspo/ops/all.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

TEST_CASE("mse: mean over everything; per sample; f32 and bf16") {
  const Tensor p = sample_values({3, 4, 2}, {-2, 2}, 1), t = sample_values({3, 4, 2}, {-2, 2}, 2);
  const auto a = numbers(p), b = numbers(t);
  double rows[3] = {}, all = 0;
  for (std::size_t i = 0; i < 24; ++i) rows[i / 8] += (a[i] - b[i]) * (a[i] - b[i]) / 8;
  for (double r : rows) all += r / 3;
  CHECK(numbers(mse(p, t))[0] == doctest::Approx(all).epsilon(1e-14));
  for (int i = 0; i < 3; ++i) CHECK(numbers(mse_per_sample(p, t))[std::size_t(i)] == doctest::Approx(rows[i]).epsilon(1e-14));
  CHECK(numbers(mse(cast(p, DType::f32), cast(t, DType::f32)))[0] == doctest::Approx(all).epsilon(1e-6));
  CHECK(numbers(mse(cast(p, DType::bf16), cast(t, DType::bf16)))[0] == doctest::Approx(all).epsilon(2e-2));
}

TEST_CASE("cross_entropy: -mean ln softmax[target], value and gradient") {
  const Tensor logits = track(sample_values({3, 5}, {-4, 4}, 1));
  const std::vector<std::int64_t> target = {4, 0, 2};
  const auto x = numbers(logits);
  double loss = 0;
  std::vector<double> grad(15);
  for (std::size_t r = 0; r < 3; ++r) {
    double z = 0;
    for (std::size_t c = 0; c < 5; ++c) z += std::exp(x[5 * r + c]);
    loss += (std::log(z) - x[5 * r + std::size_t(target[r])]) / 3;
    for (std::size_t c = 0; c < 5; ++c) grad[5 * r + c] = (std::exp(x[5 * r + c]) / z - (std::int64_t(c) == target[r])) / 3;
  }
  const Tensor y = cross_entropy(logits, Tensor::from<std::int64_t>(target, {3}));
  CHECK(numbers(y)[0] == doctest::Approx(loss).epsilon(1e-13));
  const auto g = numbers(backward(y)[logits]);
  for (std::size_t i = 0; i < 15; ++i) CHECK(g[i] == doctest::Approx(grad[i]).epsilon(1e-12));
  // No overflow at logits where exp does.
  const Tensor far = Tensor::from<float>({1e4f, 0, -1e4f}, {1, 3});
  CHECK(numbers(cross_entropy(far, Tensor::from<std::int64_t>({1}, {1})))[0] == doctest::Approx(1e4));
  CHECK(numbers(cross_entropy(far, Tensor::from<std::int64_t>({0}, {1})))[0] == 0);
  CHECK(numbers(cross_entropy(far, Tensor::from<std::int32_t>({0}, {1})))[0] == 0);
  check_error([&] { cross_entropy(far, Tensor::from<std::int64_t>({3}, {1})); }, {"index 3", "0 <= index < 3"});
  check_error([&] { cross_entropy(far, Tensor::from<std::int64_t>({-1}, {1})); }, {"index -1"});
}

TEST_CASE("dropout: keeps 1 - p, scales by 1 / (1 - p), and backward draws the same mask") {
  const Index n = 1 << 18;
  const Tensor x = track(full({n}, 2));
  for (double p : {0.1, 0.5, 0.9}) {
    const Tensor y = dropout(x, p, Rng{1} / "drop");
    const auto v = numbers(y);
    Index kept = 0;
    for (double e : v) {
      REQUIRE((e == 0 || e == doctest::Approx(2 / (1 - p)).epsilon(1e-6)));
      kept += e != 0;
    }
    CHECK(std::abs(double(kept) - double(n) * (1 - p)) < 5 * std::sqrt(double(n) * p * (1 - p)));
    const auto g = numbers(backward(sum(y))[x]);
    for (std::size_t i = 0; i < v.size(); ++i) REQUIRE(g[i] * 2 == doctest::Approx(v[i]).epsilon(1e-6));
  }
  CHECK(same_bits(dropout(x, 0, Rng{1}), x));
  CHECK(same_bits(dropout(x, 0.5, Rng{1} / 7), dropout(x, 0.5, Rng{1} / 7)));
  CHECK_FALSE(same_bits(dropout(x, 0.5, Rng{1} / 7), dropout(x, 0.5, Rng{1} / 8)));
  check_error([&] { dropout(x, NAN, Rng{1}); }, {"dropout", "probability"});
}

TEST_CASE("timestep_embedding: the formula of DDPM and diffusers, for integers and reals") {
  const std::vector<double> times = {0, 1, 37.5, 999};
  for (bool cosines_first : {true, false})
    for (double shift : {0.0, 1.0}) {
      const Tensor y = timestep_embedding(Tensor::from<double>(times, {4}), 10, {.flip_sin_to_cos = cosines_first, .downscale_freq_shift = shift});
      CHECK(y.shape() == Shape{4, 10});
      const auto v = numbers(y);
      for (std::size_t b = 0; b < 4; ++b)
        for (std::size_t i = 0; i < 5; ++i) {
          const double angle = times[b] * std::pow(10000.0, -double(i) / (5 - shift));
          CHECK(v[10 * b + i] == doctest::Approx(cosines_first ? std::cos(angle) : std::sin(angle)).epsilon(1e-9));
          CHECK(v[10 * b + 5 + i] == doctest::Approx(cosines_first ? std::sin(angle) : std::cos(angle)).epsilon(1e-9));
        }
    }
  const Tensor f = timestep_embedding(Tensor::from<std::int64_t>({999}, {1}), 320);
  CHECK(f.dtype() == DType::f32);
  const Tensor d = timestep_embedding(Tensor::from<double>({999}, {1}), 320);
  CHECK(distance(f, d) < 2e-4);  // an angle near 1000 holds 6e-5 in f32
  const auto odd = numbers(timestep_embedding(Tensor::from<double>({3}, {1}), 5));
  CHECK(odd[4] == 0);
}
