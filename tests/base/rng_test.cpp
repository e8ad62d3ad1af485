#include <algorithm>

#include "sspo/base/rng.hpp"
#include "sspo/ops/create.hpp"
#include "sspo/ops/reduce.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

// Random123, kat_vectors: philox4x32 with 10 rounds.
TEST_CASE("Philox4x32-10 gives the published numbers") {
  const auto check = [](Philox in, std::uint32_t k0, std::uint32_t k1, Philox want) {
    const Philox out = philox(in, k0, k1);
    for (int i = 0; i < 4; ++i) CHECK(out.x[i] == want.x[i]);
  };
  check({{0, 0, 0, 0}}, 0, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
  const std::uint32_t all = 0xffffffff;
  check({{all, all, all, all}}, all, all, {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
  check({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0, {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});
}

TEST_CASE("Rng: a path is a pure function of seed and names; other paths are other numbers") {
  constexpr Rng rng{42};
  CHECK((rng / "noise" / 3).key() == (Rng{42} / "noise" / 3).key());
  CHECK((rng / "noise" / 3).key() != (rng / "noise" / 4).key());
  CHECK((rng / "noise").key() != (rng / "dropout").key());
  CHECK((rng / "a" / "b").key() != (rng / "b" / "a").key());
  CHECK((rng / "ab").key() != (rng / "a" / "b").key());
  CHECK((rng / "1").key() != (rng / 1).key());
  CHECK((rng / 0).key() != rng.key());
  CHECK((Rng{1} / "x").key() != (Rng{2} / "x").key());
  CHECK((rng / int(5)).key() == (rng / Index(5)).key());
}

TEST_CASE("Rng: below(n) is in range and uniform") {
  const Rng rng = Rng{7} / "below";
  int counts[10] = {};
  for (int i = 0; i < 100000; ++i) {
    const Index k = rng.below(10, std::uint64_t(i));
    REQUIRE(k >= 0);
    REQUIRE(k < 10);
    ++counts[k];
  }
  for (int c : counts) CHECK(std::abs(c - 10000) < 5 * 95);  // five standard deviations
  CHECK(rng.below(1) == 0);
}

TEST_CASE("normal, uniform, randint: moments, ranges, prefixes") {
  const Rng rng = Rng{3} / "moments";
  const Index n = 1 << 18;
  const auto z = numbers(normal(rng, {n}));
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
  for (double v : z) m1 += v, m2 += v * v, m3 += v * v * v, m4 += v * v * v * v;
  const double d = 5 / std::sqrt(double(n));  // five standard deviations of a mean of unit variance
  CHECK(std::abs(m1 / double(n)) < d);
  CHECK(std::abs(m2 / double(n) - 1) < d * std::sqrt(2));
  CHECK(std::abs(m3 / double(n)) < d * std::sqrt(15));
  CHECK(std::abs(m4 / double(n) - 3) < d * std::sqrt(96));
  for (double u : numbers(uniform(rng, {4099}, -2, 3))) {
    REQUIRE(u >= -2);
    REQUIRE(u < 3);
  }
  for (double u : numbers(uniform(rng, {4099}, 0.999, 1, Device::cpu(), DType::bf16))) REQUIRE(u < 1);
  for (double k : numbers(randint(rng, {4099}, -3, 4))) {
    REQUIRE(k >= -3);
    REQUIRE(k < 4);
  }
  const auto longer = normal(rng, {1000}).to_vector<float>(), shorter = normal(rng, {3, 37}).to_vector<float>();
  CHECK(std::equal(shorter.begin(), shorter.end(), longer.begin()));
  check_error([&] { normal(rng, {2}, Device::cpu(), DType::i64); }, {"normal", "floating", "i64", "rng_test.cpp"});
  check_error([&] { uniform(rng, {2}, 1, 1); }, {"uniform", "empty range"});
  check_error([&] { randint(rng, {2}, 5, 5); }, {"randint", "empty range", "5 to 5"});
}
