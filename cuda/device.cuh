// The one header that kernels include. Two worlds, one source:
//   nvcc            cuda/gpu/device_gpu.cuh: thin wrappers around CUDA and inline PTX (sm_80 and later)
//   g++, clang++    cuda/sim/device_sim.hpp: the same words for kernels that run on a CPU, one fiber per CUDA thread
//
// Kernels write CUDA's own words (__global__, threadIdx, __syncthreads, __shfl_xor_sync, atomicAdd, float4, ...) and these:
//   SSPO_DEVICE                          in front of an inline function that kernels call
//   dynamic_shared<T>()                  the block's dynamic shared memory
//   SSPO_SHARED(float, part, [32]);      a static array in shared memory
//   load<float4>(p), store(p, v)         one access of 4, 8 or 16 bytes
//   cp_async16(to, from, valid)          16 bytes from global to shared memory, in the background; zeros if !valid
//   cp_async_commit(), cp_async_wait<N>()
//   ldmatrix_x4(r, row), ldmatrix_x4_trans(r, row)
//   mma_m16n8k16(d, a, b, c, bf16{})     d = a b + c on tensor cores: f32 sums; f16{} likewise
//   mma_m16n8k8_tf32(d, a, b, c)
//   to_tf32(x): f32 rounded to what tf32 keeps
//   pack_bf16(low, high): two f32 as a pair of bf16
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "sspo/base/half.hpp"

#if defined(__CUDACC__)
#define SSPO_CUDA_WORLD gpu
#include "gpu/device_gpu.cuh"
#else
#define SSPO_CUDA_WORLD sim
#include "sim/device_sim.hpp"
#endif

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

inline constexpr unsigned whole_warp = 0xffffffffu;
SSPO_DEVICE int lane_id() { return int(threadIdx.x) & 31; }

// Sums over a warp by halves: every lane gets the same bits.
template <class T> SSPO_DEVICE T warp_sum(T x) {
  for (int step = 16; step > 0; step >>= 1) x += __shfl_xor_sync(whole_warp, x, step);
  return x;
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
