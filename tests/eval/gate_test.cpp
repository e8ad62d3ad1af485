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

TEST_CASE("gate: signs by tenth of the timesteps, edges where they belong") {
  const std::vector<std::vector<double>> gains = {{1, -1, 0, 2}, {-3, 4, -5, 6}};
  const std::vector<std::vector<Index>> times = {{0, 99, 100, 999}, {99, 500, 500, 899}};
  const std::vector<SignCount> tenths = signs_by_tenth(gains, times, 1000);
  REQUIRE(tenths.size() == 10);
  const auto is = [](const SignCount& c, Index n, Index plus, Index minus) { return c.n == n && c.plus == plus && c.minus == minus; };
  CHECK(is(tenths[0], 3, 1, 2));
  CHECK(is(tenths[1], 1, 0, 0));  // a tie is neither
  CHECK(is(tenths[5], 2, 1, 1));
  CHECK(is(tenths[8], 1, 1, 0));
  CHECK(is(tenths[9], 1, 1, 0));
  SignCount all;
  for (const SignCount& c : tenths) all += c;
  CHECK(is(all, 8, 4, 3));
  // Seven steps have tenths that hold none of them.
  const std::vector<SignCount> few = signs_by_tenth(std::vector<std::vector<double>>{{1, 1, 1, 1, 1, 1, 1}}, std::vector<std::vector<Index>>{{0, 1, 2, 3, 4, 5, 6}}, 7);
  std::vector<Index> n;
  for (const SignCount& c : few) n.push_back(c.n);
  CHECK(n == std::vector<Index>{1, 1, 1, 0, 1, 1, 0, 1, 1, 0});
  const std::vector<std::vector<double>> one = {{1}};
  check_error([&] { signs_by_tenth(one, std::vector<std::vector<Index>>{{7}}, 7); }, {"signs_by_tenth", "0 to 6", "got       7"});
  check_error([&] { signs_by_tenth(one, std::vector<std::vector<Index>>{{-1}}, 7); }, {"not in the schedule"});
  check_error([&] { signs_by_tenth(one, std::vector<std::vector<Index>>{{1, 2}}, 7); }, {"each draw has a time"});
  check_error([&] { signs_by_tenth(one, std::vector<std::vector<Index>>{}, 7); }, {"each pair has both"});
}

TEST_CASE("gate: s = -1 as a forecast, counted by hand") {
  // Shares of s = -1: 3/4, 1/2, 0, 1; means: below 0, above 0, above 0, below 0.
  const std::vector<std::vector<double>> gains = {{-1, -1, -1, 2}, {-1, -1, 2, 2}, {1, 1, 1, 0}, {-1, -1, -1, -1}};
  const Forecast f = sign_forecast(gains, {true, true, false, false}, Rng(5), {.draws = 500});
  CHECK(f.better.value == doctest::Approx(0.5));
  CHECK(f.precision.value == doctest::Approx(1.25 / 2.25));
  CHECK(f.precision.of == doctest::Approx(2.25));
  CHECK(f.recall.value == doctest::Approx(1.25 / 2));
  CHECK(f.mean_precision.value == doctest::Approx(0.5));
  CHECK(f.mean_recall.value == doctest::Approx(0.5));
  CHECK(f.recall.low < f.recall.value);
  CHECK(f.recall.high > f.recall.value);
}

TEST_CASE("gate: a forecast that is always right, one that is never told, one of nothing") {
  const std::vector<std::vector<double>> gains = {{-1, -2}, {1, 2}, {-3, -1}, {2, 5}};
  const Forecast right = sign_forecast(gains, {true, false, true, false}, Rng(5), {.draws = 200});
  for (const Ratio& r : {right.precision, right.recall, right.mean_precision, right.mean_recall}) {
    CHECK(r.value == 1);
    CHECK(r.low == 1);
    CHECK(r.n == 4);
  }
  CHECK(right.better.value == 0.5);
  const Forecast wrong = sign_forecast(gains, {false, true, false, true}, Rng(5), {.draws = 200});
  CHECK(wrong.precision.value == 0);
  CHECK(wrong.mean_recall.value == 0);
  const Forecast silent = sign_forecast(std::vector<std::vector<double>>{{1, 1}, {0, 2}}, {true, false}, Rng(5), {.draws = 200});
  CHECK(std::isnan(silent.precision.value));       // s = -1 was never said
  CHECK(silent.recall.value == 0);
  const Forecast none = sign_forecast(gains, {false, false, false, false}, Rng(5), {.draws = 200});
  CHECK(std::isnan(none.recall.value));            // nothing to find
  CHECK(none.better.value == 0);
  check_error([&] { sign_forecast(gains, {true}, Rng(5)); }, {"sign_forecast", "expected  4", "got       1"});
  check_error([] { sign_forecast(std::vector<std::vector<double>>{{1}}, {true}, Rng(5)); }, {"sign_forecast", "two draws"});
}
