// What a handful of scores says: means with intervals, and two models compared prompt by prompt.
//   Estimate e = estimate(scores, rng / "pickscore");                // e.mean, [e.low, e.high]
//   Comparison c = compare(ours, theirs, rng / "sspo against sft");  // the same prompts in the same order
// Functions of the numbers and the path alone: the same intervals in every run.
#pragma once
#include <span>

#include "sspo/base/error.hpp"
#include "sspo/base/rng.hpp"

namespace sspo {

struct BootstrapOptions {
  Index draws = 10000;   // resamples, or sign flips
  double level = 0.95;   // of the interval
};

struct Estimate {
  Index n = 0;
  double mean = 0;
  double deviation = 0;     // of one value: √(Σ (x - mean)² / (n - 1)); 0 for one value
  double low = 0, high = 0; // percentile bootstrap interval of the mean (Efron 1979)
};
// Throws Error: no values, a value that is not finite, no draws, a level outside (0, 1).
Estimate estimate(std::span<const double> values, const Rng& rng, BootstrapOptions options = {}, Site at = Site::current());

struct Comparison {
  Estimate difference;      // of a[i] - b[i]
  double p = 1;             // two-sided, of no difference: signs of a[i] - b[i] flipped at random (Fisher 1935); exact up to n = 12
  double wins = 0, ties = 0;  // shares of i with a[i] > b[i], a[i] = b[i]
};
// Throws Error as estimate; also if the lengths differ.
Comparison compare(std::span<const double> a, std::span<const double> b, const Rng& rng, BootstrapOptions options = {}, Site at = Site::current());

}  // namespace sspo
