// launch(stream, plan, kernel, arguments...): enqueues the grid.
#pragma once
#include "../failures.hpp"

namespace sspo::cuda::inline gpu {

inline void check_call(cudaError_t status, const Asked& asked) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // said; the next call is not to hear of it
  check(Answer(int(status)), asked);
}

template <class... P, class... A>
void launch(Stream& stream, const LaunchPlan& plan, void (*kernel)(P...), A... arguments) {
  check_plan(plan);
  const auto queue = static_cast<cudaStream_t>(stream.handle());
  if (plan.shared_bytes > 48 * 1024)
    check_call(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(plan.shared_bytes)), {.what = "shared memory", .who = plan.kernel, .plan = &plan});
  kernel<<<dim3(plan.grid.x, plan.grid.y, plan.grid.z), dim3(plan.block.x, plan.block.y, plan.block.z), plan.shared_bytes, queue>>>(
      static_cast<P>(arguments)...);
  check_call(cudaGetLastError(), {.what = "launch", .who = plan.kernel, .plan = &plan});
}

}  // namespace sspo::cuda::inline gpu
