// What a table of differences says, in words, and never more than its intervals support.
//   std::string s = claim({.prompts = 128, .seeds = 3, .agree = 3, .mean = 0.05, .low = 0.01, .high = 0.09});   // "higher by 0.050 [0.010, 0.090]"
#pragma once
#include <string>
#include <vector>

#include "report/scores.hpp"

namespace sspo::report {

inline constexpr std::size_t fewest_prompts = 10;  // a bootstrap over fewer says nothing

enum class Verdict { too_few, equal, higher, lower, uneven };  // equal: cannot be told apart; uneven: apart, but not in every seed
Verdict verdict(const Difference& d);

struct Found {
  std::string measure;
  Difference difference;
};
// "SSPO against SFT: near higher by 0.050 [0.010, 0.090]; style, R@1 cannot be told apart (...)."
std::string reading(const std::string& method, const std::string& against, const std::vector<Found>& found);
std::string claim(const Difference& d);

}  // namespace sspo::report
