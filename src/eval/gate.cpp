#include "sspo/eval/gate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace sspo {
namespace {

int sign_of(double x) { return (x > 0) - (x < 0); }

// Of each pair.
std::size_t draws_of(const char* op, std::span<const std::vector<double>> gains, Site at) {
  const std::size_t draws = gains.empty() ? 0 : gains[0].size();
  if (draws < 2 || std::any_of(gains.begin(), gains.end(), [&](const auto& g) { return g.size() != draws; }))
    fail({.op = op, .what = "nothing to compare", .expected = "pairs of two draws or more, as many for each", .got = std::to_string(gains.size()) + " pairs, " + std::to_string(draws) + " draws of the first"}, at);
  return draws;
}

}  // namespace

std::vector<Agreement> sign_agreement(std::span<const std::vector<double>> gains, const Rng& rng, BootstrapOptions o, Site at) {
  const std::size_t draws = draws_of("sign_agreement", gains, at);
  std::vector<Agreement> result;
  for (std::size_t n = 1; n <= draws; n *= 2) {
    std::vector<double> shares;
    for (const std::vector<double>& gain : gains) {
      double agree = 0;
      for (std::size_t j = 0; j < draws; ++j) {
        double sum = 0;
        for (std::size_t i = 1; i <= n; ++i) sum += gain[(j + i) % draws];
        agree += sign_of(gain[j]) == sign_of(sum);
      }
      shares.push_back(agree / double(draws));
    }
    result.push_back({Index(n), estimate(shares, rng / n, o, at)});
  }
  return result;
}

std::vector<SignCount> signs_by_tenth(std::span<const std::vector<double>> gains, std::span<const std::vector<Index>> times, Index steps, Site at) {
  if (gains.size() != times.size()) fail({.op = "signs_by_tenth", .what = "each pair has both", .expected = std::to_string(gains.size()) + " pairs' times", .got = std::to_string(times.size())}, at);
  std::vector<SignCount> tenths(10);
  for (std::size_t p = 0; p < gains.size(); ++p) {
    if (gains[p].size() != times[p].size()) fail({.op = "signs_by_tenth", .what = "each draw has a time", .expected = std::to_string(gains[p].size()), .got = std::to_string(times[p].size())}, at);
    for (std::size_t i = 0; i < gains[p].size(); ++i) {
      const Index t = times[p][i];
      if (t < 0 || t >= steps) fail({.op = "signs_by_tenth", .what = "not in the schedule", .expected = "0 to " + std::to_string(steps - 1), .got = std::to_string(t)}, at);
      tenths[std::size_t(10 * t / steps)].add(gains[p][i]);
    }
  }
  return tenths;
}

Ratio ratio(std::span<const double> a, std::span<const double> b, const Rng& rng, BootstrapOptions o, Site at) {
  if (a.size() != b.size()) fail({.op = "ratio", .what = "each pair has both", .expected = std::to_string(a.size()), .got = std::to_string(b.size())}, at);
  const Estimate whole = estimate(b, rng, {.draws = 1, .level = o.level}, at);  // its checks
  estimate(a, rng, {.draws = 1, .level = o.level}, at);
  if (o.draws < 1) fail({.op = "ratio", .what = "no resamples", .expected = "draws >= 1", .got = std::to_string(o.draws)}, at);
  const auto of = [&](auto index) {
    double top = 0, bottom = 0;
    for (std::size_t i = 0; i < a.size(); ++i) top += a[index(i)], bottom += b[index(i)];
    return bottom == 0 ? std::numeric_limits<double>::quiet_NaN() : top / bottom;
  };
  Ratio r{.value = of([](std::size_t i) { return i; }), .of = whole.mean * double(whole.n), .n = whole.n};
  std::vector<double> values;
  for (Index d = 0; d < o.draws; ++d) {
    const Rng path = rng / d;
    const double v = of([&](std::size_t i) { return std::size_t(path.below(r.n, i)); });
    if (!std::isnan(v)) values.push_back(v);
  }
  std::sort(values.begin(), values.end());
  const auto quantile = [&](double q) { return values.empty() ? r.value : values[std::size_t(std::lround(q * double(values.size() - 1)))]; };
  r.low = quantile((1 - o.level) / 2), r.high = quantile((1 + o.level) / 2);
  return r;
}

Forecast sign_forecast(std::span<const std::vector<double>> gains, const std::vector<bool>& better, const Rng& rng, BootstrapOptions o, Site at) {
  const double draws = double(draws_of("sign_forecast", gains, at));
  if (gains.size() != better.size()) fail({.op = "sign_forecast", .what = "each pair has both", .expected = std::to_string(gains.size()), .got = std::to_string(better.size())}, at);
  std::vector<double> is, told, both, told_mean, both_mean;  // told: share of draws with s = -1
  for (std::size_t i = 0; i < gains.size(); ++i) {
    double minus = 0, sum = 0;
    for (const double gain : gains[i]) minus += gain < 0, sum += gain;
    is.push_back(better[i]), told.push_back(minus / draws), told_mean.push_back(sum < 0);
    both.push_back(told.back() * is.back()), both_mean.push_back(told_mean.back() * is.back());
  }
  const std::vector<double> ones(gains.size(), 1);
  return {.better = ratio(is, ones, rng / "better", o, at), .precision = ratio(both, told, rng / "precision", o, at), .recall = ratio(both, is, rng / "recall", o, at),
          .mean_precision = ratio(both_mean, told_mean, rng / "mean_precision", o, at), .mean_recall = ratio(both_mean, is, rng / "mean_recall", o, at)};
}

}  // namespace sspo
