// Shares that blocks wrote, added up in an order that shapes decide: what the norms' gradients end with.
#pragma once
#include "blocks.cuh"
#include "context.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

// y[o, i] = Σ_k parts[o, k, i], added in f64 in an order fixed by k.
// Owns:  block = one o and 32 i; thread = one i and every `sum_parts_rows`-th k.   Costs: parts read once.
inline constexpr int sum_parts_rows = 16;
template <class Y, class P> struct SumPartsArgs {
  Index outer, count, inner;
  const P* parts;
  Y *y, *tail;  // the first `split` of inner go to y, the others to tail; either may be null
  Index split;
};
template <class Y, class P> __global__ void __launch_bounds__(32 * sum_parts_rows) sum_parts(SumPartsArgs<Y, P> a) {
  SSPO_SHARED(double, sums, [sum_parts_rows][32]);
  const Index blocks = (a.inner + 31) / 32, o = Index(blockIdx.x) / blocks, i = Index(blockIdx.x) % blocks * 32 + lane_id();
  const Index column = i < a.inner ? i : a.inner - 1;
  const int row = int(threadIdx.x) / 32;
  double sum = 0;
  for (Index k = row; k < a.count; k += sum_parts_rows) sum += double(a.parts[(o * a.count + k) * a.inner + column]);
  sums[row][lane_id()] = sum;
  __syncthreads();
  if (row > 0 || i >= a.inner) return;
  for (int r = 1; r < sum_parts_rows; ++r) sum += sums[r][lane_id()];
  if (i < a.split && a.y) a.y[o * a.split + i] = rounded<Y>(sum);
  if (i >= a.split && a.tail) a.tail[o * (a.inner - a.split) + i - a.split] = rounded<Y>(sum);
}
template <class Y, class P> void launch_sum_parts(const Context& ctx, const SumPartsArgs<Y, P>& a) {
  if (a.outer * a.inner == 0) return;
  const Extent grid = blocks_along_x(a.outer * ceil_div(a.inner, 32));
  launch(ctx.stream, {.kernel = "sum_parts", .grid = grid, .block = {32 * sum_parts_rows}}, sum_parts<Y, P>, a);
}

// dβ and dγ from parts [count, 2, channels].
template <class T, class P>
void weight_gradients(const Context& ctx, Index count, Index channels, const P* parts, void* dgamma, void* dbeta) {
  if (!dgamma && !dbeta) return;
  launch_sum_parts<T, P>(ctx, {1, count, 2 * channels, parts, static_cast<T*>(dbeta), static_cast<T*>(dgamma), channels});
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
