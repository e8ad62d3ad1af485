// What the sign of SSPO's gate is worth: does one draw of (t, ε) say what many say, and what a scorer says of the second image?
//   std::vector<Agreement> a = sign_agreement(gains, rng / "agreement");     // gains[pair][draw] = a_rw - a_tw       spec §4 (a)
//   Ratio precision = ratio(both, told, rng / "precision");                  // Σ both / Σ told over pairs             spec §4 (c)
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

struct Ratio {
  double value = 0;          // Σ a / Σ b; NaN where Σ b = 0
  double low = 0, high = 0;  // percentile bootstrap interval, whole pairs drawn anew; resamples with Σ b = 0 do not count
  double of = 0;             // Σ b
  Index n = 0;               // pairs
};
// Throws Error as estimate.
Ratio ratio(std::span<const double> a, std::span<const double> b, const Rng& rng, BootstrapOptions options = {}, Site at = Site::current());

}  // namespace sspo
