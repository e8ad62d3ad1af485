// Products by ordinary instructions: f32 and f64. See gemm_tiles.cuh.
#pragma once
#include "gemm_product.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD::tiles {

template <class T_, int M_, int N_, int TM_, int TN_> struct SimtTile {
  using T = T_;
  static constexpr int M = M_, N = N_, K = 8, TM = TM_, TN = TN_, threads = M / TM * (N / TN), V = chunk<T>;
  static constexpr int blocks_at_once = threads == 256 ? 2 : 4;
  static constexpr bool chunks_only = M == 128;  // single elements are for small tiles: no registers are left for them here
  static constexpr std::size_t shared_bytes = 0;
};

// One operand of a step, as the sums read it: [K][LINES + V]. The padding makes transposing stores free of bank conflicts.
template <class T, int LINES, int K> struct SimtStage {
  static constexpr int V = chunk<T>;
  T at[K][LINES + V];
};

// What a thread holds of an operand's next step, between its loads and its stores. Single elements go straight to shared memory.
template <class F, int LINES, int K> struct Held {
  using T = typename F::T;
  static constexpr int V = F::V;
  T x[F::chunks][V];

  SSPO_DEVICE void fetch(const F& feed, int k0) {
    if (!feed.wide()) return;
    feed.bring_chunks(k0, [&](int q, int, int, const T* p) {
#pragma unroll
      for (int e = 0; e < V; ++e) x[q][e] = T(0);
      if (p) read_pack(p, x[q]);
    });
  }
  SSPO_DEVICE void keep(const F& feed, int k0, SimtStage<T, LINES, K>& stage) const {
    const bool along_k = feed.from.along_k();
    if (!feed.wide())
      return feed.bring_elements(k0, [&](int row, int col, T value) {
        (along_k ? stage.at[col][row] : stage.at[row][col]) = value;
      });
    feed.places([&](int q, int row, int col) {
      if (!along_k) return write_pack(&stage.at[row][col * V], x[q]);
#pragma unroll
      for (int e = 0; e < V; ++e) stage.at[col * V + e][row] = x[q][e];
    });
  }
};

// C's tile = Σ_k of outer products of a column of A and a row of B.
// Owns:  block = M x N of C; a warp is 4 x 8 threads; thread = TM x TN sums in groups of V = 16 bytes, M / (TM / V) rows and
//        N / (TN / V) columns apart.
// Costs: 2 m n k FLOPs; reads as above. Shared memory, per step of one k and warp: (TM + TN) / V requests, none with conflicts, for
//        32 TM TN multiply-adds.   Needs: two stages of 8 depths: 17 KiB.
template <class Tile, class A, class B, class R>
__global__ void __launch_bounds__(Tile::threads, Tile::blocks_at_once) multiply_simt(Product<A, B, R> p) {
  using T = typename Tile::T;
  constexpr int M = Tile::M, N = Tile::N, K = Tile::K, TM = Tile::TM, TN = Tile::TN, V = Tile::V;
  using StageA = SimtStage<T, M, K>;
  using StageB = SimtStage<T, N, K>;
  SSPO_SHARED(StageA, kept_a, [2]);
  SSPO_SHARED(StageB, kept_b, [2]);
  const Work w = find_work(p.cut, M, N);
  using FeedA = Feed<A, M, K, Tile::threads, Tile::chunks_only>;
  using FeedB = Feed<B, N, K, Tile::threads, Tile::chunks_only>;
  const FeedA feed_a(p.a.item(w.item), w.m0, p.cut.m, w.k1);
  const FeedB feed_b(p.b.item(w.item), w.n0, p.cut.n, w.k1);
  const int warp = int(threadIdx.x) / 32, warps_n = N / (8 * TN);
  const int row = (warp / warps_n * 4 + lane_id() / 8) * V, col = (warp % warps_n * 8 + lane_id() % 8) * V;

  // 1. The first step's tiles.
  Held<FeedA, M, K> next_a;
  Held<FeedB, N, K> next_b;
  T sum[TM][TN] = {};
  if (w.k0 < w.k1) {
    next_a.fetch(feed_a, w.k0);
    next_b.fetch(feed_b, w.k0);
    next_a.keep(feed_a, w.k0, kept_a[0]);
    next_b.keep(feed_b, w.k0, kept_b[0]);
  }
  __syncthreads();

  // 2. While a step is summed, the next one is on its way to registers; then it goes to the other stage.
  int stage = 0;
  for (int k0 = w.k0; k0 < w.k1; k0 += K) {
    const bool more = k0 + K < w.k1;
    if (more) {
      next_a.fetch(feed_a, k0 + K);
      next_b.fetch(feed_b, k0 + K);
    }
#pragma unroll 2
    for (int k = 0; k < K; ++k) {
      T a[TM / V][V], b[TN / V][V];
#pragma unroll
      for (int g = 0; g < TM / V; ++g) read_pack(&kept_a[stage].at[k][g * (M * V / TM) + row], a[g]);
#pragma unroll
      for (int g = 0; g < TN / V; ++g) read_pack(&kept_b[stage].at[k][g * (N * V / TN) + col], b[g]);
#pragma unroll
      for (int i = 0; i < TM; ++i)
#pragma unroll
        for (int j = 0; j < TN; ++j) sum[i][j] += a[i / V][i % V] * b[j / V][j % V];
    }
    stage ^= 1;
    if (more) {
      next_a.keep(feed_a, k0 + K, kept_a[stage]);
      next_b.keep(feed_b, k0 + K, kept_b[stage]);
    }
    __syncthreads();
  }

  // 3. On to C. (The work is found again: kept through the sums it would take their registers.)
  const Work to = find_work(p.cut, M, N);
#pragma unroll
  for (int i = 0; i < TM; ++i)
#pragma unroll
    for (int g = 0; g < TN / V; ++g) {
      T group[V];
#pragma unroll
      for (int e = 0; e < V; ++e) group[e] = sum[i][g * V + e];
      p.result.put(to.item, to.slice, to.m0 + i / V * (M * V / TM) + row + i % V, to.n0 + g * (N * V / TN) + col, group);
    }
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD::tiles
