// In place of gpu/*.cu where the library was built without nvcc.
#include "sspo/cuda.hpp"

namespace sspo {
Device cuda_device(const CudaOptions&) {
  fail({.op = "cuda", .what = "this build has no CUDA", .expected = "a build by a machine with nvcc (cmake -DSSPO_CUDA=ON)", .got = "a build without",
        .hint = "--device cpu computes on the CPU, --device cuda-sim runs the CUDA kernels there", .kind = ErrorKind::internal}, Site{});
}
}  // namespace sspo
