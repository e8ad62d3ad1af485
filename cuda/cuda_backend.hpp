// The device behind src/backend.hpp whose kernels are cuda/*.cu: on a GPU, or on cuda-sim.
#pragma once
#include "context.hpp"
#include "sspo/cuda.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

Device make_device(const CudaOptions& options, DeviceKind kind);

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
