// sspo pair: one training pair of a preference run, seen from inside.
#pragma once
#include <string>
#include <vector>

#include "sspo/base/config.hpp"

namespace sspo::cli {

struct PairCommand {
  std::string run;
  Index phase = 0;                 // 0: the last
  Index index = 0;                 // which of the phase's prompts
  std::vector<Index> timesteps;    // none: a tenth, three, five, seven and nine tenths of the schedule
  std::uint64_t draw = 0;          // another number, another noise
  int threads = 0;
  std::string isa;
  bool json = false;
};
// The policy after the phase and the phase's reference, on the winner and the second image: RUN/pair.json (the four errors, d_w, d_r, s,
// z and the loss at each timestep) and RUN/pair/*.png (noisy pictures and what each model makes of them); a section of RUN/report.html.
// Error{file}: no preference run, or what it needs has been pruned.
void pair(const PairCommand& command);

}  // namespace sspo::cli
