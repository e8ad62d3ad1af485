#include "sspo/eval/gate.hpp"

#include <cmath>

#include "support.hpp"

using namespace sspo;
using testing::check_error;

TEST_CASE("gate: signs that never change agree always, alternating ones never with their neighbour") {
  const std::vector<std::vector<double>> steady = {{1, 2, 3, 4}, {-1, -1, -2, -5}};
  for (const Agreement& a : sign_agreement(steady, Rng(1))) {
    CHECK(a.share.mean == 1);
    CHECK(a.share.low == 1);
  }
  const std::vector<std::vector<double>> alternating = {{1, -1, 1, -1}, {2, -2, 2, -2}};
  const std::vector<Agreement> a = sign_agreement(alternating, Rng(1));
  REQUIRE(a.size() == 3);
  CHECK(a[0].n == 1);
  CHECK(a[0].share.mean == 0);  // the next draw says the opposite
  CHECK(a[1].n == 2);
  CHECK(a[1].share.mean == 0);  // a mean of 0 has no sign
  CHECK(a[2].n == 4);
  CHECK(a[2].share.n == 2);
}

// Gains m + noise, m of either sign: the sign of one draw and of the mean of n others are right independently.
TEST_CASE("gate: agreement is what normal noise makes of it") {
  std::vector<std::vector<double>> gains;
  const double m = 0.5;
  for (Index pair = 0; pair < 400; ++pair) {
    std::vector<double> draws = testing::numbers(normal(Rng(7) / pair, {64}));
    for (double& d : draws) d += pair % 2 ? m : -m;
    gains.push_back(draws);
  }
  const auto right = [&](double n) { return 0.5 * (1 + std::erf(m * std::sqrt(n) / std::sqrt(2.0))); };
  for (const Agreement& a : sign_agreement(gains, Rng(2), {.draws = 200})) {
    if (a.n == 64) continue;  // holds the draw itself
    const double one = right(1), many = right(double(a.n)), expected = one * many + (1 - one) * (1 - many);
    CHECK(std::abs(a.share.mean - expected) < 0.015);
    CHECK(a.share.low < a.share.mean);
  }
}

TEST_CASE("gate: a ratio of sums, its interval over pairs") {
  const std::vector<double> a = {1, 0, 2, 0}, b = {2, 1, 2, 3};
  const Ratio r = ratio(a, b, Rng(3));
  CHECK(r.value == doctest::Approx(3.0 / 8));
  CHECK(r.of == doctest::Approx(8));
  CHECK(r.n == 4);
  CHECK(r.low >= 0);
  CHECK(r.low < r.value);
  CHECK(r.high > r.value);
  CHECK(r.high <= 1);
  CHECK(std::isnan(ratio(std::vector<double>{0, 0}, std::vector<double>{0, 0}, Rng(3)).value));
  check_error([&] { ratio(a, std::vector<double>{1}, Rng(3)); }, {"ratio", "expected  4"});
  check_error([] { sign_agreement(std::vector<std::vector<double>>{{1}}, Rng(1)); }, {"sign_agreement", "two draws"});
  check_error([] { sign_agreement(std::vector<std::vector<double>>{{1, 2}, {1, 2, 3}}, Rng(1)); }, {"sign_agreement"});
}
