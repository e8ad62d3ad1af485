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
//   from_float<T>(x), to_float(x), pack_bf16(low, high)
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
SSPO_DEVICE int warp_id() { return int(threadIdx.x) >> 5; }

SSPO_DEVICE double to_float(double x) { return x; }
using sspo::to_float;
template <class T> SSPO_DEVICE T from_float(float x) { return T(x); }
template <class T> SSPO_DEVICE T from_float(double x) { return T(x); }
template <> SSPO_DEVICE bf16 from_float<bf16>(float x) { return round_to_bf16(x); }
template <> SSPO_DEVICE bf16 from_float<bf16>(double x) { return round_to_bf16(float(x)); }
template <> SSPO_DEVICE f16 from_float<f16>(double x) { return f16(float(x)); }

// In what a type is computed: f32 for all but f64.
template <class T> struct ComputeOf { using type = float; };
template <> struct ComputeOf<double> { using type = double; };
template <> struct ComputeOf<long> { using type = long; };
template <class T> using Compute = typename ComputeOf<T>::type;

// Sums over a warp by halves: every lane gets the same bits.
template <class T> SSPO_DEVICE T warp_sum(T x) {
  for (int step = 16; step > 0; step >>= 1) x += __shfl_xor_sync(whole_warp, x, step);
  return x;
}
template <class T> SSPO_DEVICE T warp_max(T x) {
  for (int step = 16; step > 0; step >>= 1) {
    const T y = __shfl_xor_sync(whole_warp, x, step);
    x = y > x || y != y ? y : x;
  }
  return x;
}
// Over a block of THREADS (a multiple of 32), in a fixed order. All threads call, all get the sum.
template <int THREADS, class T> SSPO_DEVICE T block_sum(T x) {
  SSPO_SHARED(T, part, [THREADS / 32]);
  x = warp_sum(x);
  __syncthreads();  // an earlier call's sums have been read
  if (lane_id() == 0) part[warp_id()] = x;
  __syncthreads();
  return warp_sum(lane_id() < THREADS / 32 ? part[lane_id()] : T(0));
}
template <int THREADS, class T> SSPO_DEVICE T block_max(T x) {
  SSPO_SHARED(T, part, [THREADS / 32]);
  x = warp_max(x);
  __syncthreads();
  if (lane_id() == 0) part[warp_id()] = x;
  __syncthreads();
  return warp_max(part[lane_id() < THREADS / 32 ? lane_id() : 0]);
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
