// `sspo eval scorers`: which scorers there are, what they need, and whether they say what their publishers print.
#pragma once
#include "cli/forward.hpp"

namespace sspo::cli {

struct EvalScorersOptions {
  std::string weights = "weights";
  std::string fixtures;  // a folder of the pictures that publishers name; empty: the list alone
  DeviceOptions device;
  bool json = false;
};
// Error{file}: a scorer says something else of a fixture, or there is nothing to check.
void eval_scorers(const EvalScorersOptions& options);

}  // namespace sspo::cli
