#include "cuda_backend.hpp"

namespace sspo {
Device cuda_sim_device(const CudaOptions& options) { return cuda::sim::make_device(options, DeviceKind::cuda_sim); }
}  // namespace sspo
