// PyTorch's normal numbers, so that a seed gives here the latents it gives in diffusers.
//   TorchCpuGenerator g(42);                    // torch.Generator("cpu").manual_seed(42)
//   std::vector<float> z = g.normal(4 * 64 * 64);   // torch.randn(1, 4, 64, 64, generator=g), row-major
// A list of generators, one a sample, is one call each; a batch from one generator is one call for all of it.
// For randomness of the engine's own see base/rng.hpp.
#pragma once
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "sspo/base/error.hpp"
#include "sspo/base/shape.hpp"

namespace sspo {

// mt19937. Equal to the bit to torch.randn in f32 where PyTorch runs its AVX2 code (torch.backends.cpu.get_cpu_capability()
// says "AVX2"): that code's own polynomials for log, sin and cos are repeated here, with its fused multiply-adds. PyTorch's
// portable code (ATEN_CPU_CAPABILITY=default) calls other functions: same numbers up to 3e-6, other last bits in 4 of 10.
class TorchCpuGenerator {
 public:
  // Of the seed PyTorch uses the lower 32 bits.
  explicit TorchCpuGenerator(std::uint64_t seed) : engine_(std::uint32_t(seed)) {}

  // The next n numbers. Draws of one tensor and of its halves differ, as in PyTorch: below 16 numbers it works in double,
  // one pair at a time (an odd one waits for the next such draw); from 16 on in f32, 16 at a time, and if 16 does not
  // divide n, the last 16 are drawn anew.
  std::vector<float> normal(Index n, Site at = Site::current());

 private:
  float uniform() { return float(engine_() & 0xffffffu) * 0x1p-24f; }
  double uniform_double();
  float scalar_normal();
  void normal_16(float* z);

  std::mt19937 engine_;
  std::optional<double> waiting_;  // second of a pair in double
};

// How many threads PyTorch starts at most: the order of tensors with more elements than that depends on the GPU.
struct CudaGrid {
  Index multiprocessors = 108;  // A100; H100 132, RTX 4090 128
  Index threads = 2048;         // a multiprocessor; 1536 on GPUs of compute capability 8.6 and 8.9
};

// Philox4x32-10 as torch.randn(..., generator=torch.Generator("cuda")) lays it out: thread t of 256 x blocks owns elements t,
// t + threads, ...; four normals of its own stream a round. The random words are exact. Box and Muller's logf and __sincosf
// are the GPU's own and no CPU gives their bits: expect differences up to about 1e-5, from the documented error of __sincosf
// (2^-21.2 within [-π, π]) times a radius up to 6.7.
class TorchCudaGenerator {
 public:
  explicit TorchCudaGenerator(std::uint64_t seed, CudaGrid grid = {}) : seed_(seed), grid_(grid) {}
  // Throws Error: n above 2^29, where PyTorch splits the work.
  std::vector<float> normal(Index n, Site at = Site::current());

 private:
  std::uint64_t seed_;
  CudaGrid grid_;
  std::uint64_t offset_ = 0;  // blocks of Philox each thread has used
};

// The first numbers of a seed.
inline std::vector<float> torch_cpu_normal(std::uint64_t seed, const Shape& shape) { return TorchCpuGenerator(seed).normal(shape.numel()); }
inline std::vector<float> torch_cuda_normal(std::uint64_t seed, const Shape& shape, CudaGrid grid = {}) {
  return TorchCudaGenerator(seed, grid).normal(shape.numel());
}

}  // namespace sspo
