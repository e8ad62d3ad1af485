// The device that tests of the engine run on: cuda-sim, or a GPU in the programs that scripts/gpu-check builds.
#pragma once
#include "sspo/cuda.hpp"

namespace sspo {

inline Device device_under_test(const CudaOptions& options) {
#if SSPO_TEST_ON_GPU
  return cuda_device(options);
#else
  return cuda_sim_device(options);
#endif
}

}  // namespace sspo
