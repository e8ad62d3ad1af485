#include "../cuda_backend.hpp"

namespace sspo {
Device cuda_device(const CudaOptions& options) { return cuda::gpu::make_device(options, DeviceKind::cuda); }
}  // namespace sspo
