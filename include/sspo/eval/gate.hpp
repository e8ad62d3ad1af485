// What the sign of SSPO's gate is worth: does one draw of (t, ε) say what many say, and what a scorer says of the second image?
//   std::vector<Agreement> a = sign_agreement(gains, rng / "agreement");     // gains[pair][draw] = a_rw - a_tw       spec §4 (a)
//   std::vector<SignCount> tenths = signs_by_tenth(gains, times, 1000);      // of the timesteps                      spec §3.6
//   Forecast f = sign_forecast(gains, better, rng);                          // better[pair]: the second image is     spec §4 (c)
#pragma once
#include <span>
#include <vector>

#include "sspo/eval/statistics.hpp"

namespace sspo {

struct Agreement {
  Index n = 0;         // draws in the mean
  Estimate share = {}; // of draws whose sign is that of the mean of the n draws that follow them, cyclically; over pairs
};
// For n = 1, 2, 4, ... up to the number of draws; at n = 1 that of two single draws, at the last one the mean holds the draw itself, too.
// Throws Error: no pair, fewer than two draws, pairs with different numbers of draws.
std::vector<Agreement> sign_agreement(std::span<const std::vector<double>> gains, const Rng& rng, BootstrapOptions options = {}, Site at = Site::current());

// How often s = sign(a_rw - a_tw) is +1, 0 (the rest) and -1 over n draws.
struct SignCount {
  Index n = 0, plus = 0, minus = 0;
  void add(double gain) { ++n, plus += gain > 0, minus += gain < 0; }
  SignCount& operator+=(const SignCount& b) { return n += b.n, plus += b.plus, minus += b.minus, *this; }
};
// [10]: of the draws with times in [i steps / 10, (i + 1) steps / 10).
// Throws Error: other numbers of times than of gains, a time outside 0 ... steps - 1.
std::vector<SignCount> signs_by_tenth(std::span<const std::vector<double>> gains, std::span<const std::vector<Index>> times, Index steps, Site at = Site::current());

struct Ratio {
  double value = 0;          // Σ a / Σ b; NaN where Σ b = 0
  double low = 0, high = 0;  // percentile bootstrap interval, whole pairs drawn anew; resamples with Σ b = 0 do not count
  double of = 0;             // Σ b
  Index n = 0;               // pairs
};
// Throws Error as estimate.
Ratio ratio(std::span<const double> a, std::span<const double> b, const Rng& rng, BootstrapOptions options = {}, Site at = Site::current());

// s = -1 as a forecast of "the second image is the better one", where that is known of each pair.
struct Forecast {
  Ratio better;                       // share of pairs where it is: how often a forecast that knows nothing is right
  Ratio precision, recall;            // of one draw, all draws of all pairs taken together
  Ratio mean_precision, mean_recall;  // of the sign of the mean over all draws of a pair
};
// Throws Error as sign_agreement; also if the lengths differ.
Forecast sign_forecast(std::span<const std::vector<double>> gains, const std::vector<bool>& better, const Rng& rng, BootstrapOptions options = {}, Site at = Site::current());

}  // namespace sspo
