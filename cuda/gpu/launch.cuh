// launch(stream, plan, kernel, arguments...): enqueues the grid.
#pragma once

namespace sspo::cuda::inline gpu {

void check_call(cudaError_t status, const char* what, const char* about);  // throws Error unless cudaSuccess

template <class... P, class... A>
void launch(Stream& stream, const LaunchPlan& plan, void (*kernel)(P...), A... arguments) {
  check_plan(plan);
  if (plan.shared_bytes > 48 * 1024)
    check_call(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(plan.shared_bytes)), "shared memory of a kernel", plan.kernel);
  kernel<<<dim3(plan.grid.x, plan.grid.y, plan.grid.z), dim3(plan.block.x, plan.block.y, plan.block.z), plan.shared_bytes,
           static_cast<cudaStream_t>(stream.handle())>>>(static_cast<P>(arguments)...);
  check_call(cudaGetLastError(), "launch", plan.kernel);
}

}  // namespace sspo::cuda::inline gpu
