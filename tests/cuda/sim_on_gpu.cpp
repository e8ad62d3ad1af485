// What tests ask of cuda-sim, in programs that run on a GPU: threads run in the GPU's own order, mistakes are for compute-sanitizer to
// find, nothing is counted (tests of counts are left out there).
#include "sim/sim.hpp"

namespace sspo::cuda::inline sim {

void set_schedule(std::uint64_t) {}
bool checking() { return false; }
const std::vector<Finding>& findings() {
  static const std::vector<Finding> none;
  return none;
}
void reset_findings() {}
std::vector<KernelCounters> counters() { return {}; }
void reset_counters() {}
std::string counters_table() { return {}; }
void set_limits(const DeviceLimits&) {}  // a card's are its own: tests of smaller ones are left out

}  // namespace sspo::cuda::inline sim
