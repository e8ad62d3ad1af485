#include "sspo/eval/statistics.hpp"

#include <vector>

#include "sspo/ops/create.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

// Normal numbers of mean 1 and deviation 2.
std::vector<double> scores(Index n, int seed) {
  std::vector<double> x = numbers(normal(Rng{std::uint64_t(seed)}, {n}));
  for (double& v : x) v = 1 + 2 * v;
  return x;
}

}  // namespace

TEST_CASE("estimate: mean, deviation, interval") {
  const std::vector<double> x = {1.5, -0.25, 3.0, 0.5, 2.25};
  const Estimate e = estimate(x, Rng{1});
  CHECK(e.n == 5);
  CHECK(e.mean == doctest::Approx(1.4));
  CHECK(e.deviation == doctest::Approx(1.3062350478));
  CHECK(e.low < e.mean);
  CHECK(e.mean < e.high);
  const Estimate again = estimate(x, Rng{1});
  CHECK(e.low == again.low);
  CHECK(e.high == again.high);
  const Estimate one = estimate(std::vector<double>{7}, Rng{1});
  CHECK(one.deviation == 0);
  CHECK(one.low == 7);
  CHECK(one.high == 7);
}

TEST_CASE("estimate: the interval holds the true mean as often as it says") {
  int held = 0;
  for (int seed = 0; seed < 200; ++seed) {
    const Estimate e = estimate(scores(60, seed), Rng{9} / seed, {.draws = 400});
    held += e.low <= 1 && 1 <= e.high;
  }
  CHECK(held >= 180);  // 190 expected, deviation 3.1; the percentile interval is a little short
  CHECK(held <= 199);
  // Its width is that of theory: 2 * 1.96 σ / √n.
  const Estimate e = estimate(scores(400, 1), Rng{3});
  CHECK((e.high - e.low) / (2 * 1.96 * e.deviation / 20) == doctest::Approx(1).epsilon(0.05));
}

TEST_CASE("compare: exact signs for few pairs, drawn ones for many") {
  const std::vector<double> a = {1.5, -0.25, 3.0, 0.5, 2.25}, zero(5, 0.0);
  const Comparison c = compare(a, zero, Rng{1});
  CHECK(c.p == doctest::Approx(0.125));
  CHECK(c.wins == doctest::Approx(0.8));
  CHECK(c.ties == 0);
  CHECK(c.difference.mean == doctest::Approx(1.4));
  CHECK(compare(a, a, Rng{1}).p == 1);
  CHECK(compare(a, a, Rng{1}).ties == 1);
  const std::vector<double> many = scores(100, 5), none(100, 0.0);
  CHECK(compare(many, none, Rng{1}, {.draws = 2000}).p < 0.002);  // mean 1, standard error 0.2
  // Without a difference p is spread evenly: a tenth of the trials lie below 0.1.
  int low = 0;
  for (int seed = 0; seed < 300; ++seed) {
    std::vector<double> x = scores(20, 1000 + seed);
    for (double& v : x) v -= 1;
    low += compare(x, std::vector<double>(20, 0.0), Rng{2} / seed, {.draws = 200}).p < 0.1;
  }
  CHECK(low >= 14);
  CHECK(low <= 48);
}

TEST_CASE("estimate and compare: bad input") {
  const std::vector<double> none, one = {1}, two = {1, 2}, nan = {1, NAN};
  check_error([&] { estimate(none, Rng{1}); }, {"nothing to take a mean of"});
  check_error([&] { estimate(nan, Rng{1}); }, {"value 1 is nan"});
  check_error([&] { estimate(one, Rng{1}, {.draws = 0}); }, {"draws >= 1"});
  check_error([&] { estimate(one, Rng{1}, {.level = 1}); }, {"0 < level < 1"});
  check_error([&] { compare(one, two, Rng{1}); }, {"1 values on either", "got       2"});
}
