// Build facts and the one macro of the engine.
#pragma once
#include <cstdint>

// SSPO_HD marks functions that run on the host and inside CUDA kernels.
#if defined(__CUDACC__)
#define SSPO_HD __host__ __device__
#else
#define SSPO_HD
#endif

namespace sspo {
using Index = std::int64_t;  // every extent, stride and element count
inline constexpr int version_major = 0, version_minor = 1, version_patch = 0;
}  // namespace sspo
