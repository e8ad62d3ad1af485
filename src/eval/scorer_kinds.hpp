// The scorers that there are: what scorers.cpp lists.
#pragma once
#include "sspo/eval/scorer.hpp"

namespace sspo {

Scorer load_image_reward(const std::string& folder, const ScorerOptions& options);

}  // namespace sspo
