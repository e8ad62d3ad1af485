#include "sspo/eval/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace sspo {
namespace {

void check(std::span<const double> values, const BootstrapOptions& o, Site at) {
  const auto wrong = [&](const char* what, const std::string& expected, const std::string& got) {
    fail({.op = "estimate", .what = what, .expected = expected, .got = got}, at);
  };
  if (values.empty()) wrong("nothing to take a mean of", "at least one value", "none");
  if (o.draws < 1) wrong("no resamples", "draws >= 1", std::to_string(o.draws));
  if (!(o.level > 0 && o.level < 1)) wrong("no level of an interval", "0 < level < 1", std::to_string(o.level));
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i])) wrong("a value is not finite", "numbers", "value " + std::to_string(i) + " is " + std::to_string(values[i]));
}

double mean_of(std::span<const double> x) {
  double sum = 0;
  for (const double v : x) sum += v;
  return sum / double(x.size());
}

// The q-th quantile of sorted values, between neighbours by proportion.
double quantile(const std::vector<double>& sorted, double q) {
  const double place = q * double(sorted.size() - 1);
  const std::size_t i = std::size_t(place);
  return i + 1 < sorted.size() ? sorted[i] + (place - double(i)) * (sorted[i + 1] - sorted[i]) : sorted.back();
}

// How often |mean of ±x| is at least |mean of x|.
double sign_flip_p(const std::vector<double>& x, const Rng& rng, Index draws) {
  const std::size_t n = x.size();
  const bool exact = n <= 12;
  const Index flips = exact ? Index(1) << n : draws;
  const double observed = std::abs(mean_of(x)) * (1 - 1e-12);  // equal sums in another order count as equal
  Index extreme = 0;
  for (Index d = 0; d < flips; ++d) {
    const Rng path = rng / d;
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const bool flip = exact ? d >> i & 1 : path.bits(i / 64) >> (i % 64) & 1;
      sum += flip ? -x[i] : x[i];
    }
    extreme += std::abs(sum / double(n)) >= observed;
  }
  return exact ? double(extreme) / double(flips) : double(extreme + 1) / double(flips + 1);
}

}  // namespace

Estimate estimate(std::span<const double> x, const Rng& rng, BootstrapOptions o, Site at) {
  check(x, o, at);
  Estimate e{.n = Index(x.size()), .mean = mean_of(x)};
  double squares = 0;
  for (const double v : x) squares += (v - e.mean) * (v - e.mean);
  if (e.n > 1) e.deviation = std::sqrt(squares / double(e.n - 1));
  std::vector<double> means;
  for (Index d = 0; d < o.draws; ++d) {
    const Rng path = rng / d;
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) sum += x[std::size_t(path.below(e.n, i))];
    means.push_back(sum / double(e.n));
  }
  std::sort(means.begin(), means.end());
  e.low = quantile(means, (1 - o.level) / 2);
  e.high = quantile(means, (1 + o.level) / 2);
  return e;
}

Comparison compare(std::span<const double> a, std::span<const double> b, const Rng& rng, BootstrapOptions o, Site at) {
  if (a.size() != b.size())
    fail({.op = "compare", .what = "pairs have two sides", .expected = std::to_string(a.size()) + " values on either", .got = std::to_string(b.size())}, at);
  std::vector<double> difference(a.size());
  Comparison c;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference[i] = a[i] - b[i];
    c.wins += a[i] > b[i];
    c.ties += a[i] == b[i];
  }
  c.difference = estimate(difference, rng / "bootstrap", o, at);
  c.p = sign_flip_p(difference, rng / "flips", o.draws);
  c.wins /= double(a.size());
  c.ties /= double(a.size());
  return c;
}

}  // namespace sspo
