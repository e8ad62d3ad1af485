// Products of fragments by the type of their factors, 32 bytes of k at a time: bf16 is 16 deep; f32 is rounded to tf32 and 8 deep.
#pragma once
#include "device.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

template <class T> inline constexpr bool is_tf32 = sizeof(T) == 4;  // else bf16

template <class T, int N> SSPO_DEVICE void round_fragment(std::uint32_t (&r)[N]) {  // f32 to tf32; bf16 is what it is
  if constexpr (is_tf32<T>)
#pragma unroll
    for (int q = 0; q < N; ++q) {
      float x;
      memcpy(&x, &r[q], 4);
      r[q] = to_tf32(x);
    }
}

template <class T> SSPO_DEVICE void multiply_add(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  if constexpr (is_tf32<T>) mma_m16n8k8_tf32(d, a, b, d);
  else mma_m16n8k16(d, a, b, d, T{});
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
