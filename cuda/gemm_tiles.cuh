// One engine for every product of the device: matrices, convolutions and their gradients differ in where A, B and C lie.
//
//   C[i, j] = act(α Σ_k A[i, k] B[k, j] + bias[j] + residual[i, j]) (+ C[i, j])
//
//   multiply<Big, Small>(ctx, name, size, a, b, result)
//     a, b     say where line i (a row of A, a column of B) is at depth k: Matrix, or patches of images in conv.cu
//     result   says where row i of C lies, and what happens to a sum on its way there
//
// A block owns one tile of C of one item of the batch, for one slice of k. The tile of A and the tile of B of each step of k go
// through shared memory; multiply_simt sums with ordinary instructions, multiply_mma on tensor cores. Slices of k are added first to
// last by add_slices. How a product is cut depends on its size, and on whether its operands can be read in chunks of 16 bytes; so the
// order of every sum does.
//
//   gemm_product.cuh   operands, results, how work is cut      gemm_simt.cuh, gemm_mma.cuh   the two kernels
//
//   reads, in elements:  m n k (1/BM + 1/BN), edges rounded up to whole tiles; C is written once (a slice: f32 or f64 sums)
#pragma once
#include <string>

#include "gemm_mma.cuh"
#include "gemm_simt.cuh"
#include "sspo/base/error.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD::tiles {

// --- slices of k
// C = Σ_t partial[t, item, i, j], t ascending, then what Result does.
// Owns:  thread = W columns of one row.   Costs: slices · batch · m · n sums read once, C written once.
template <class Sum, int W, class R> __global__ void __launch_bounds__(256) add_slices(const Sum* partial, int slices, int size, R result) {
  const int at = (int(blockIdx.x) * 256 + int(threadIdx.x)) * W, row = at / result.n;
  if (at >= size) return;
  Sum sum[W] = {};
  for (int t = 0; t < slices; ++t) {
    Sum x[W];
    read_pack(partial + Index(t) * size + at, x);
#pragma unroll
    for (int e = 0; e < W; ++e) sum[e] += x[e];
  }
  result.put(row / result.m, 0, row % result.m, at - row * result.n, sum);
}

inline unsigned grid_x(Index blocks) { return unsigned(blocks < 0xffffffff ? blocks : 0xffffffff); }  // too many: check_plan says so

template <class Sum, class R> void add_slices_to(const Context& ctx, const Sum* partial, int slices, Index batch, const R& result) {
  constexpr int W = chunk<Sum>;
  const int size = int(batch * result.m * result.n);  // an int: only fewer than blocks_enough tiles are cut
  const LaunchPlan plan{.kernel = "add_slices", .grid = {unsigned(ceil_div(result.wide ? size / W : size, 256))}, .block = {256}};
  if (result.wide) launch(ctx.stream, plan, add_slices<Sum, W, R>, partial, slices, size, result);
  else launch(ctx.stream, plan, add_slices<Sum, 1, R>, partial, slices, size, result);
}

// --- launches
template <class Tile, class A, class B, class R>
void launch_tiles(const Context& ctx, const char* name, const Size& size, const A& a, const B& b, R result) {
  using Sum = typename SumOf<typename Tile::T>::type;
  const Cut c = cut<Tile>(size);
  result.m = c.m, result.n = c.n;
  const LaunchPlan plan{.kernel = name, .grid = {grid_x(c.blocks)}, .block = {Tile::threads}, .shared_bytes = Tile::shared_bytes};
  const auto run = [&](const auto& to) {
    using To = std::decay_t<decltype(to)>;
    const Product<A, B, To> product{c, a, b, to};
    if constexpr (Tile::shared_bytes > 0) launch(ctx.stream, plan, multiply_mma<Tile, A, B, To>, product);
    else launch(ctx.stream, plan, multiply_simt<Tile, A, B, To>, product);
  };
  if (c.slices == 1) return run(result);
  constexpr int W = chunk<Sum>;
  const Index sums = size.batch * size.m * size.n;
  const Workspace partial(ctx, std::size_t(c.slices * sums) * sizeof(Sum), name);
  Result<Sum> slice{.c = partial.template as<Sum>(), .rows = {.image = size.n}, .batch = size.m * size.n, .slice = sums};
  slice.m = c.m, slice.n = c.n;
  slice.wide = size.n % W == 0;
  slice.alpha = result.alpha, result.alpha = 1;
  run(slice);
  add_slices_to(ctx, slice.c, c.slices, size.batch, result);
}

// The product on the tile that pays.
template <class Big, class Small, class A, class B, class R>
void multiply(const Context& ctx, const char* name, const Size& size, const A& a, const B& b, const R& result) {
  if (size.batch == 0 || size.m == 0 || size.n == 0) return;
  constexpr Index most = 0x7fffff00;  // rows, columns and depths are ints
  if (size.m > most || size.n > most || size.k > most || size.batch > most)
    fail({.op = name, .what = "matrix too large for one launch", .expected = "batch, rows, columns and depth below 2^31",
          .got = std::to_string(size.batch) + " x " + std::to_string(size.m) + " x " + std::to_string(size.n) + " x " +
                 std::to_string(size.k),
          .hint = "cut the batch"});
  const bool chunks = a.wide && b.wide;
  if (pays<Big>(size) && (chunks || !Big::chunks_only)) launch_tiles<Big>(ctx, name, size, a, b, result);
  else launch_tiles<Small>(ctx, name, size, a, b, result);
}

using SimtF32 = SimtTile<float, 128, 128, 8, 8>;
using SimtF32Small = SimtTile<float, 64, 64, 8, 4>;
using SimtF64 = SimtTile<double, 64, 64, 4, 4>;
using MmaBf16 = MmaTile<bf16, 128, 128, 4>;
using MmaBf16Small = MmaTile<bf16, 64, 64, 4>;
using MmaTf32 = MmaTile<float, 128, 128, 4>;
using MmaTf32Small = MmaTile<float, 64, 64, 4>;

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD::tiles
