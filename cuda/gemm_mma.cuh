// Products on tensor cores: bf16, and f32 rounded to tf32. See gemm_tiles.cuh.
#pragma once
#include "gemm_product.cuh"
#include "mma.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD::tiles {

template <class T_, int M_, int N_, int STAGES> struct MmaTile {
  using T = T_;
  static constexpr int M = M_, N = N_, K = 64 / int(sizeof(T)), stages = STAGES;
  static constexpr int warps_n = N / 32, warps_m = M == 128 ? 2 : M / 32, WM = M / warps_m, WN = 32, threads = 32 * warps_m * warps_n;
  static constexpr int blocks_at_once = threads == 256 ? 2 : 4;
  static constexpr bool chunks_only = M == 128;
  static constexpr int stage_bytes = (M + N) * 64 + 1024;  // at most: see MmaStage
  static constexpr std::size_t shared_bytes = stages * stage_bytes;
};

// An operand's tile in shared memory, 64 bytes of k for each line. The 8 rows that are read or written together must lie in
// different banks. Rows along k: their 4 chunks change places with the row's number. Rows along lines are a little longer than they
// hold: 16 bytes for ldmatrix, 32 for tf32, whose fragments are read word by word.
template <class T, int LINES, bool along_k> struct MmaStage {
  static constexpr int V = chunk<T>, K = 64 / int(sizeof(T)), pitch = along_k ? 64 : LINES * int(sizeof(T)) + 8 * int(sizeof(T));
  static constexpr int bytes = pitch * (along_k ? LINES : K);
  SSPO_DEVICE static int at(int row, int col) { return row * pitch + (along_k ? col ^ row / 2 % 4 : col) * 16; }
  // 16 lines x 32 bytes of k as A's fragment of an mma: r[0] lines 0-7, first half of k; r[1] lines 8-15; r[2], r[3] second half.
  // B's fragments of 8 columns are {r[0], r[2]} and {r[1], r[3]} (PTX ISA 9.7.14.5).
  SSPO_DEVICE static void fragment(const unsigned char* tile, int line0, int half, std::uint32_t (&r)[4]) {
    const int lane = lane_id();
    if constexpr (along_k) {
      ldmatrix_x4(r, tile + at(line0 + lane % 16, 2 * half + lane / 16));
    } else if constexpr (sizeof(T) == 2) {
      ldmatrix_x4_trans(r, tile + at(16 * half + lane / 16 * 8 + lane % 8, line0 / 8 + lane / 8 % 2));
    } else {
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        const int line = line0 + q % 2 * 8 + lane / 4;
        r[q] = load(reinterpret_cast<const std::uint32_t*>(tile + at(8 * half + q / 2 * 4 + lane % 4, line / V)) + line % V);
      }
    }
  }
};

template <class Stage, class F> SSPO_DEVICE void bring(const F& feed, int k0, unsigned char* tile) {
  using T = typename F::T;
  if (feed.wide()) {
    feed.bring_chunks(k0, [&](int, int row, int col, const T* p) {
      cp_async16(tile + Stage::at(row, col), p ? p : feed.from.data, p != nullptr);
    });
  } else {
    feed.bring_elements(k0, [&](int row, int col, T x) {
      reinterpret_cast<T*>(tile + Stage::at(row, col / F::V))[col % F::V] = x;
    });
  }
}

// C's tile by mma instructions: bf16 (16 deep), or f32 rounded to tf32 (8 deep). Sums are f32.
// Owns:  block = M x N of C; warp = WM x 32 of it.
// Costs: 2 m n k FLOPs; reads as above. Shared memory, per 32 bytes of k: a warp's (WM + 32) / 16 fragments of 4 wavefronts for
//        WM / 16 x 4 mma, and the copies' (M + N) / 4 wavefronts a block; none with conflicts.
// Needs: `stages` steps of 64 bytes of k on their way at a time: 68 KiB for 128 x 128, 36 KiB for 64 x 64.
template <class Tile, class A, class B, class R>
__global__ void __launch_bounds__(Tile::threads, Tile::blocks_at_once) multiply_mma(Product<A, B, R> p) {
  using T = typename Tile::T;
  constexpr int M = Tile::M, N = Tile::N, K = Tile::K, WM = Tile::WM, WN = Tile::WN, stages = Tile::stages;
  using StageA = MmaStage<T, M, A::way == Way::k>;
  using StageB = MmaStage<T, N, B::way == Way::k>;
  unsigned char* const shared = dynamic_shared<unsigned char>();
  const Work w = find_work(p.cut, M, N);
  const Feed<A, M, K, Tile::threads, Tile::chunks_only> feed_a(p.a.item(w.item), w.m0, p.cut.m, w.k1);
  const Feed<B, N, K, Tile::threads, Tile::chunks_only> feed_b(p.b.item(w.item), w.n0, p.cut.n, w.k1);
  const int lane = lane_id(), warp = int(threadIdx.x) / 32, row0 = warp / Tile::warps_n * WM, col0 = warp % Tile::warps_n * WN;
  const auto stage_at = [&](int step) { return shared + step % stages * Tile::stage_bytes; };
  const auto begin = [&](int step) {  // copies of one step, in the background
    const int k0 = w.k0 + step * K;
    if (k0 < w.k1) {
      bring<StageA>(feed_a, k0, stage_at(step));
      bring<StageB>(feed_b, k0, stage_at(step) + StageA::bytes);
    }
    cp_async_commit();
  };

  // 1. The first steps.
#pragma unroll 1
  for (int step = 0; step < stages - 1; ++step) begin(step);

  // 2. Each step: wait for its copies, begin those of a later one where the last step was, sum.
  float sum[WM / 16][WN / 8][4] = {};
  const int steps = (w.k1 - w.k0 + K - 1) / K;
  for (int step = 0; step < steps; ++step) {
    cp_async_wait<stages - 2>();
    __syncthreads();
    begin(step + stages - 1);
    const unsigned char *const a = stage_at(step), *const b = a + StageA::bytes;
#pragma unroll(Tile::chunks_only ? 1 : 2)
    for (int half = 0; half < 2; ++half) {
      std::uint32_t fa[WM / 16][4], fb[WN / 16][4];
#pragma unroll
      for (int j = 0; j < WN / 16; ++j) StageB::fragment(b, col0 + 16 * j, half, fb[j]);
#pragma unroll
      for (int i = 0; i < WM / 16; ++i) StageA::fragment(a, row0 + 16 * i, half, fa[i]);
#pragma unroll
      for (int j = 0; j < WN / 16; ++j) round_fragment<T>(fb[j]);
#pragma unroll
      for (int i = 0; i < WM / 16; ++i) {
        round_fragment<T>(fa[i]);
#pragma unroll
        for (int j = 0; j < WN / 8; ++j) {
          const std::uint32_t of_8[2] = {fb[j / 2][j % 2], fb[j / 2][j % 2 + 2]};
          multiply_add<T>(sum[i][j], fa[i], of_8);
        }
      }
    }
  }
  cp_async_wait<0>();
  __syncthreads();

  // 3. On to C, 16 rows of a warp at a time, through shared memory: a thread then has 4 columns side by side, a warp 4 whole rows.
  //    Rows of 32 + 8 words: no conflicts. (The work is found again: kept through the sums it would take their registers.)
  const Work to = find_work(p.cut, M, N);
  constexpr int pitch = WN + 8;
  float* const rows = reinterpret_cast<float*>(shared) + warp * 16 * pitch;
#pragma unroll
  for (int i = 0; i < WM / 16; ++i) {
#pragma unroll
    for (int j = 0; j < WN / 8; ++j)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const float pair[2] = {sum[i][j][2 * h], sum[i][j][2 * h + 1]};
        write_pack(rows + (8 * h + lane / 4) * pitch + 8 * j + lane % 4 * 2, pair);
      }
    __syncwarp();
#pragma unroll 1
    for (int q = 0; q < 4; ++q) {
      const int row = 4 * q + lane / 8, col = lane % 8 * 4;
      float group[4];
      read_pack(rows + row * pitch + col, group);
      p.result.put(to.item, to.slice, to.m0 + row0 + 16 * i + row, to.n0 + col0 + col, group);
    }
    __syncwarp();
  }
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD::tiles
