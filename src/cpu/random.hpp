// Random numbers into contiguous memory; see the functions of the same names in sspo/ops/create.hpp.
// Counter-based: tasks are independent, so the numbers do not depend on threads.
#pragma once
#include "cpu/context.hpp"
#include "sspo/base/rng.hpp"
#include "sspo/tensor/view.hpp"

namespace sspo::cpu {

void normal(const Context& ctx, const Rng& rng, const View& y);
void uniform(const Context& ctx, const Rng& rng, double low, double high, double largest, const View& y);
void randint(const Context& ctx, const Rng& rng, Index low, Index count, const View& y);

// out[4 i ... 4 i + 3] from block first + i of the path with this key, for i < blocks.
struct RandomKernels {
  void (*normals)(std::uint64_t key, Index first, Index blocks, float* out);   // base/normal.hpp
  void (*uniforms)(std::uint64_t key, Index first, Index blocks, float* out);  // in [0, 1)
};
const RandomKernels& random_kernels(Isa isa);

}  // namespace sspo::cpu
