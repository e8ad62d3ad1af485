// Devices that run the CUDA kernels: a GPU, or cuda-sim, the same kernels on this machine's CPU (slow; for tests and study).
//   Device gpu = cuda_device();
//   Tensor x = normal(Rng{1}, {4, 64, 64, 320}, gpu);
// To move a tensor from one device to another: to_device(x, device), sspo/tensor/tensor.hpp.
#pragma once
#include "sspo/base/device.hpp"
#include "sspo/base/error.hpp"

namespace sspo {

enum class Kernels { own, library };  // library: cuBLASLt or cuDNN (on cuda-sim: bodies that check what those would demand)

struct CudaOptions {
  int index = 0;               // which GPU
  std::size_t budget = 0;      // most bytes in use; 0: no limit
  bool graphs = false;         // launches between two waits of the host reach the device as one CUDA graph; same bits
  bool tf32 = false;           // f32 products may round their factors to tf32 and run on tensor cores
  Kernels matmul = Kernels::own, conv = Kernels::own, attention = Kernels::own;
  bool fill_with_nan = false;  // fresh memory reads as NaN: finds results that were not written
};

// Throws Error (internal): no GPU, and what was looked for; or a library built without CUDA.
Device cuda_device(const CudaOptions& options = {});
Device cuda_sim_device(const CudaOptions& options = {});

}  // namespace sspo
