// Random numbers, the same bits as the CPU's: element i comes from block i/4 of the path (randint: i), y is contiguous.
#pragma once
#include "context.hpp"
#include "sspo/base/rng.hpp"
#include "sspo/tensor/view.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

void normal(const Context& ctx, const Rng& rng, const View& y);
void uniform(const Context& ctx, const Rng& rng, double low, double high, double largest, const View& y);  // no value above `largest`
void randint(const Context& ctx, const Rng& rng, Index low, Index count, const View& y);                  // low + [0, count), i64

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
