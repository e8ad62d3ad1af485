#include <algorithm>

#include "sspo/base/normal.hpp"

#include "sspo/ops/create.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

TEST_CASE("box_muller: logarithm and sines within their bounds") {
  double log_error = 0, sine_error = 0;
  for (std::uint32_t k = 1; k <= 1u << 24; k += k < 1000 || k > (1u << 24) - 1000 ? 1 : 997) {
    const double u = double(k) * 0x1p-24, truth = std::log(u);
    if (k == 1u << 24) CHECK(log_of_uniform(1.0f) == 0.0f);
    else log_error = std::max(log_error, std::abs(log_of_uniform(float(u)) / truth - 1));
  }
  for (std::uint32_t k = 0; k < 1u << 24; k += 991) {
    const double angle = 2 * 3.14159265358979323846 * double(k) * 0x1p-24;
    const SinCos s = sin_cos_of_turn(k);
    sine_error = std::max({sine_error, std::abs(s.sin - std::sin(angle)), std::abs(s.cos - std::cos(angle))});
  }
  CHECK(log_error < 9e-8);
  CHECK(sine_error < 1e-7);
  for (std::uint32_t quarter = 0; quarter < 4; ++quarter) {  // the axes, exactly
    const SinCos s = sin_cos_of_turn(quarter << 22);
    CHECK(s.cos == (quarter == 0 ? 1 : quarter == 2 ? -1 : 0));
    CHECK(s.sin == (quarter == 1 ? 1 : quarter == 3 ? -1 : 0));
  }
}

TEST_CASE("box_muller: the ends of its range are finite") {
  CHECK(box_muller(0, 0).first == doctest::Approx(std::sqrt(48 * std::log(2.0))));
  CHECK(box_muller(0xffffffff, 0x80000000).first == 0);  // u = 1
  CHECK(std::abs(box_muller(0, 0x40000000).second) < 5.77f);
}

TEST_CASE("normal: the bits of one seed, on this and every other machine and device") {
  const auto checksum = [](const Tensor& z) {  // FNV-1a over the words
    std::uint64_t hash = 0xcbf29ce484222325ull;
    for (float v : z.to_vector<float>()) hash = (hash ^ std::bit_cast<std::uint32_t>(v)) * 0x100000001b3ull;
    return hash;
  };
  const Rng rng = Rng{42} / "golden";
  const Tensor z = normal(rng, {10007});
  CHECK(checksum(z) == 9907373731134912475ull);
  for (int threads : {1, 2, 3}) CHECK(same_bits(z, normal(rng, {10007}, Device::cpu({.threads = threads, .isa = "baseline"}))));
}

TEST_CASE("normal: element i comes from block i/4 of the path, by Box & Muller's formula") {
  const Rng rng = Rng{42} / "formula";
  const auto z = normal(rng, {5, 203}).to_vector<float>();
  for (std::size_t i = 0; i < z.size(); ++i) {
    const Philox words = rng.block(i / 4);
    const std::uint32_t* pair = words.x + (i % 4) / 2 * 2;
    const double radius = std::sqrt(-2 * std::log(double((pair[0] >> 8) + 1) * 0x1p-24)), angle = 6.283185307179586 * double(pair[1] >> 8) * 0x1p-24;
    CHECK(std::abs(z[i] - radius * (i % 2 ? std::sin(angle) : std::cos(angle))) < 1e-6);
  }
}

TEST_CASE("normal: other dtypes hold the same numbers, rounded") {
  const Rng rng = Rng{42} / "dtypes";
  const Tensor z = normal(rng, {37});
  for (const DType t : {DType::f64, DType::bf16, DType::f16}) CHECK(same_bits(normal(rng, {37}, Device::cpu(), t), cast(z, t)));
  CHECK(normal(rng, {0}).numel() == 0);
  CHECK(normal(rng, {}).item<float>() == z.item<float>());
}

TEST_CASE("uniform: 24 bits; rounding never reaches the open end") {
  const Rng rng = Rng{42} / "uniform";
  for (const DType t : {DType::f32, DType::f64, DType::bf16, DType::f16})
    for (const auto& [low, high] : {std::pair{0.0, 1.0}, {-1.0, 0.0}, {-3.0, -2.0}, {1000.0, 1001.0}, {-1e-3, 1e-3}}) {
      double mean = 0;
      for (double u : numbers(uniform(rng, {4099}, low, high, Device::cpu(), t))) {
        REQUIRE(u < high);
        REQUIRE(u >= low - (t == DType::bf16 ? 4 : t == DType::f16 ? 0.5 : 0));  // the nearest value of a coarse dtype
        mean += (u - low) / (high - low) / 4099;
      }
      if (t == DType::f32 || t == DType::f64) CHECK(std::abs(mean - 0.5) < 5 * 0.289 / 64);
    }
}

TEST_CASE("full, arange: values in every dtype; an integer that does not fit is an error") {
  for (const DType t : all_dtypes) {
    CHECK(numbers(full({2, 3}, 1, t)) == std::vector<double>(6, 1));
    CHECK(numbers(zeros({3}, t)) == std::vector<double>(3, 0));
    CHECK(ones({0, 4}, t).shape() == Shape{0, 4});
  }
  CHECK(numbers(full({2}, 2.5, DType::bf16)) == std::vector<double>{2.5, 2.5});
  CHECK(numbers(full({}, -7, DType::i32)) == std::vector<double>{-7});
  CHECK(full({}, 0x1p62, DType::i64).item<std::int64_t>() == Index(1) << 62);
  CHECK(numbers(arange(4, 1, 0.5)) == std::vector<double>{1, 1.5, 2, 2.5});
  CHECK(numbers(arange(3, 5, -2, DType::i64)) == std::vector<double>{5, 3, 1});
  CHECK(arange(0).shape() == Shape{0});
  const Tensor like = transpose(normal(Rng{1}, {2, 3}));
  CHECK(same_bits(zeros_like(like), zeros({3, 2})));
  CHECK(same_bits(ones_like(like), ones({3, 2})));
  check_error([] { full({1}, 300, DType::u8); }, {"full", "whole number within u8", "300"});
  check_error([] { full({1}, 0.5, DType::i64); }, {"full", "whole number within i64", "0.5"});
  check_error([] { full({1}, 0x1p63, DType::i64); }, {"full", "i64"});
  check_error([] { full({1}, NAN, DType::i32); }, {"full", "i32", "nan"});
  check_error([] { arange(-1); }, {"arange", "negative length", "-1"});
}
