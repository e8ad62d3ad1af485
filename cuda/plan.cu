// A launch that no device of this kind could run is refused before it starts, in words.
#include "runtime.hpp"
#include "sspo/base/error.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

void check_plan(const LaunchPlan& plan) {
  const DeviceLimits& most = limits();
  const auto refuse = [&](const char* what, std::size_t got, std::size_t limit) {
    fail({.op = plan.kernel, .what = what, .expected = "1 to " + std::to_string(limit) + " on " + most.name, .got = std::to_string(got),
          .hint = "the op's reference runs on any device"});
  };
  const std::size_t threads = std::size_t(plan.block.x) * plan.block.y * plan.block.z;
  if (threads < 1 || threads > most.threads_per_block || plan.block.z > 64) refuse("threads of a block", threads, most.threads_per_block);
  if (plan.grid.x < 1 || plan.grid.x > most.grid_x) refuse("blocks along x", plan.grid.x, most.grid_x);
  if (plan.grid.y < 1 || plan.grid.y > most.grid_yz) refuse("blocks along y", plan.grid.y, most.grid_yz);
  if (plan.grid.z < 1 || plan.grid.z > most.grid_yz) refuse("blocks along z", plan.grid.z, most.grid_yz);
  if (plan.shared_bytes > most.shared_per_block) refuse("bytes of shared memory", plan.shared_bytes, most.shared_per_block);
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
