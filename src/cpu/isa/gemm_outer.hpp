// Sums of outer products: C[i, j] (+)= Σ_p a[p][i] b[q(p)][j], the gradient of a weight. Both operands lie with i and j side by side, which is
// how a tile wants to read them: nothing is packed, a tile follows the positions through memory.
//
//   a [positions, m]     b: one row of columns for each tap and position; which row is told in runs of neighbours
//
// Owns:  task = a slice of the positions (small C), or some columns and rows of C, walked in chunks of positions that stay in L2.
// Costs: 2 positions m n FLOPs; a is read once for each block of columns and chunk, from L1 or L2.
// Sums:  each chunk in registers, then added to C; slices first to last. Cut by size alone.
#pragma once
#include "cpu/isa/gemm_engine.hpp"

namespace sspo::cpu::SSPO_ISA {

// Worth it while the rows are short: of wider ones too much of each cache line's neighbourhood is of no use to a tile, and packing pays.
inline bool outer_pays(Index m, Index channels) { return m <= 128 && channels <= 256; }

// `count` positions: rows a, a + 1, ... of A meet rows b, b + apart, ... of B.
struct OuterRun {
  Index a, b, count;
};

// Where both operands lie. Taps = { taps(), lines(), line_positions(), apart(), runs(tap, lines, to) -> number of runs, at most one a line }.
template <class T, class Taps>
struct Outer {
  const T *a, *b;
  Index a_row, b_row;       // elements from one row to the next
  Index m, channels;        // columns of A, of B: n = taps channels
  const Taps& taps;
};

// c[R][NV W] (+)= the sums over the runs.
template <class T, int R, int NV>
[[gnu::noinline]] void outer_tile(const OuterRun* run, Index runs, const T* a0, Index a_row, const T* b0, Index b_row, Index apart, T* c, Index ldc, bool add) {
  constexpr int W = Pack<T>::size;
  Pack<T> acc[R][NV];
  unroll<R, NV>([&](auto i, auto v) __attribute__((always_inline)) { acc[i][v] = zero<T>(); });
  for (const OuterRun* const end = run + runs; run < end; ++run) {
    const T *a = a0 + run->a * a_row, *b = b0 + run->b * b_row;
    for (Index p = run->count; p > 0; --p, a += a_row, b += apart * b_row) {
      Pack<T> bv[NV];
      unroll<NV>([&](auto v) __attribute__((always_inline)) { bv[v] = Pack<T>::load(b + v * W); });
      unroll<R>([&](auto i) __attribute__((always_inline)) {
        const Pack<T> ai = broadcast(a + i);
        unroll<NV>([&](auto v) __attribute__((always_inline)) { add_product(acc[i][v], ai, bv[v]); });
      });
    }
  }
  if (add) unroll<R, NV>([&](auto i, auto v) __attribute__((always_inline)) { acc[i][v] += Pack<T>::load(c + i * ldc + v * W); });
  unroll<R, NV>([&](auto i, auto v) __attribute__((always_inline)) { acc[i][v].store(c + i * ldc + v * W); });
}

template <class T, int NV, int R = tile_rows>
inline auto outer_tile_of(Index rows) -> decltype(&outer_tile<T, 1, NV>) {
  if constexpr (R > 1) {
    if (rows < R) return outer_tile_of<T, NV, R - 1>(rows);
  }
  return outer_tile<T, R, NV>;
}

struct OuterPlan {
  Index slices, slice_lines, blocks, task_blocks, chunk_lines;  // blocks of columns, of all taps
  Index row_tiles, task_row_tiles;
};

template <class T>
inline OuterPlan outer_plan(Index m, Index taps, Index channels, Index lines, Index line_positions) {
  constexpr Index NR = 2 * Pack<T>::size, chunk = 128;
  OuterPlan p;
  p.blocks = taps * ceil_div(channels, NR);
  p.chunk_lines = max(1, chunk / max(1, line_positions));
  const bool small = m * taps * channels * Index(sizeof(T)) <= 65536;  // C fits L2 beside the chunk
  p.slices = small ? max(1, min(16, lines * line_positions / 1024)) : 1;
  p.slice_lines = max(1, ceil_div(lines, p.slices));
  p.slices = max(1, ceil_div(lines, p.slice_lines));
  p.task_blocks = ceil_div(p.blocks, ceil_div(18, p.slices));  // tasks enough for many threads
  p.row_tiles = ceil_div(m, Index(tile_rows));
  const Index tasks = p.slices * ceil_div(p.blocks, p.task_blocks);
  p.task_row_tiles = tasks >= 8 ? p.row_tiles : max(1, p.row_tiles / ceil_div(12, tasks));
  return p;
}

// channels must be a multiple of the width of a register.
template <class T, class Taps>
inline void multiply_outer(const Context& ctx, const Outer<T, Taps>& o, T* c, Index ldc, bool accumulate) {
  constexpr Index W = Pack<T>::size, NR = 2 * W;
  const Index lines = o.taps.lines(), taps = o.taps.taps(), n = taps * o.channels;
  const OuterPlan p = outer_plan<T>(o.m, taps, o.channels, lines, o.taps.line_positions());
  const std::size_t slice_bytes = p.slices > 1 ? std::size_t(p.slices * o.m * n) * sizeof(T) : 0, run_bytes = std::size_t(p.chunk_lines) * sizeof(OuterRun);
  const Workspace w(ctx, slice_bytes + run_bytes * std::size_t(ctx.threads));
  T* const slice_sums = w.as<T>();
  const Index blocks_of_tap = ceil_div(o.channels, NR), column_tasks = ceil_div(p.blocks, p.task_blocks), row_tasks = ceil_div(p.row_tiles, p.task_row_tiles);

  parallel_for(ctx, p.slices * column_tasks * row_tasks, [&](Index task, int worker) {
    const Range row_tiles = piece(task % row_tasks, p.task_row_tiles, p.row_tiles);
    task /= row_tasks;
    const Index slice = task % p.slices;
    const Range mine = piece(slice, p.slice_lines, lines), blocks = piece(task / p.slices, p.task_blocks, p.blocks);
    OuterRun* const runs = reinterpret_cast<OuterRun*>(w.as<char>() + slice_bytes + run_bytes * std::size_t(worker));
    T* const to = p.slices > 1 ? slice_sums + slice * o.m * n : c;
    const Index ld = p.slices > 1 ? n : ldc;
    bool add = p.slices == 1 && accumulate;
    Index line = mine.begin;
    do {  // once even without a position: C becomes 0
      const Range chunk{line, min(line + p.chunk_lines, mine.end)};
      Index seen = -1, count = 0;  // the tap whose runs are at hand
      for (Index block = blocks.begin; block < blocks.end; ++block) {
        const Index tap = block / blocks_of_tap, j = block % blocks_of_tap * NR, width = min(NR, o.channels - j);
        if (tap != seen) count = o.taps.runs(tap, chunk, runs), seen = tap;
        for (Index t = row_tiles.begin; t < row_tiles.end; ++t) {  // of nearly equal height: a low one waits for its sums
          const Index i = t * o.m / p.row_tiles, rows = (t + 1) * o.m / p.row_tiles - i;
          const auto tile = width == NR ? outer_tile_of<T, 2>(rows) : outer_tile_of<T, 1>(rows);
          tile(runs, count, o.a + i, o.a_row, o.b + j, o.b_row, o.taps.apart(), to + i * ld + tap * o.channels + j, ld, add);
        }
      }
      add = true;
      line = chunk.end;
    } while (line < mine.end);
  });
  if (p.slices == 1) return;
  Finish<T> f;
  f.accumulate = accumulate;
  sum_slices<T, T>(ctx, {1, o.m, n, lines}, p.slices, slice_sums, Rows<T>{c, ldc}, f);
}

}  // namespace sspo::cpu::SSPO_ISA
