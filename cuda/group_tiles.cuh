// What the kernels of group norm share: a tile and a thread's place in it, sums over a tile's columns and groups, coefficients.
//
// A thread owns one column, V neighbouring channels, and the tile's rows `row`, `row + step`, ...: neighbours in memory are read by
// neighbouring threads, and what belongs to a channel stays in registers.
#pragma once
#include "blocks.cuh"
#include "norm.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

inline constexpr int tile_columns = 256;   // most packs across a tile
inline constexpr int tile_threads = 384;   // most threads a block
inline constexpr int rows_in_flight = 4;   // that a thread loads together, and adds up in C before a sum goes to f64

template <int V> struct Tile {
  Index sample, down;         // which tile: of which sample, how far down
  Index first, begin;         // its first channel; where it begins in x
  int first_group, group, groups;  // its groups, channels of one that lie in it
  int rows, width;
  int column, row, step;      // this thread's
  bool active;

  SSPO_DEVICE explicit Tile(const GroupTiles& t) {
    const Index tile = blockIdx.x, across = tile % t.across;
    down = tile / t.across % t.down;
    sample = tile / t.across / t.down;
    if (t.pieces == 1) {
      first = across * t.width;
      first_group = int(first / t.group);
      width = int(min(Index(t.width), t.channels - first));
      group = t.group;
    } else {
      first_group = int(across / t.pieces);
      const Index inside = across % t.pieces * t.width;
      first = Index(first_group) * t.group + inside;
      width = int(min(Index(t.width), t.group - inside));
      group = width;
    }
    groups = width / group;
    rows = int(min(Index(t.rows), t.positions - down * t.rows));
    begin = (sample * t.positions + down * t.rows) * t.channels + first;
    step = t.threads / t.columns;
    column = int(threadIdx.x) % t.columns;
    row = int(threadIdx.x) / t.columns;
    active = row < step && column * V < width;
    if (!active) rows = 0;  // nothing to read
  }
  SSPO_DEVICE int group_of(int v) const { return (column * V + v) / group; }  // within the tile, of this thread's channel v
  SSPO_DEVICE bool totals_here() const { return active && row == 0; }        // column totals end up in these threads
  SSPO_DEVICE static Index min(Index a, Index b) { return a < b ? a : b; }
};

// A tile's shared memory: arrays kept [rows, columns], column sums, numbers of groups.
template <class T, int V> struct TileMemory {
  T* kept;         // [arrays, rows, columns * V]
  double* column;  // [V, tile_columns]
  double* group;   // [3, groups]
  SSPO_DEVICE explicit TileMemory(const GroupTiles& t) {
    column = dynamic_shared<double>();
    group = column + V * tile_columns;
    kept = reinterpret_cast<T*>(group + (3 * tile_groups(t) + 1) / 2 * 2);
  }
  SSPO_HD static int tile_groups(const GroupTiles& t) { return t.pieces == 1 ? t.width / t.group : 1; }
};
template <class T, int V> std::size_t tile_memory_bytes(const GroupTiles& t) {
  const std::size_t groups = std::size_t(TileMemory<T, V>::tile_groups(t));
  return sizeof(double) * (V * tile_columns + (3 * groups + 1) / 2 * 2) + t.kept_bytes;
}

// x of a column added up over the rows of threads, by halves; the threads of row 0 get the sums. Needs the whole block.
template <int V> SSPO_DEVICE void column_totals(double (&x)[V], double* column, const Tile<V>& tile, int columns) {
  for (int rows = tile.step; rows > 1;) {
    const int half = (rows + 1) / 2;
    __syncthreads();
    if (tile.row >= half && tile.row < rows)
      for (int v = 0; v < V; ++v) column[v * tile_columns + (tile.row - half) * columns + tile.column] = x[v];
    __syncthreads();
    if (tile.row + half < rows)
      for (int v = 0; v < V; ++v) x[v] += column[v * tile_columns + tile.row * columns + tile.column];
    rows = half;
  }
}
// to[j] = Σ of x over group j's channels in the tile, x being what the threads of row 0 hold. Needs the whole block.
template <int V> SSPO_DEVICE void group_totals(const double (&x)[V], double* column, double* to, const Tile<V>& tile) {
  __syncthreads();
  if (tile.totals_here())
    for (int v = 0; v < V; ++v) column[v * tile_columns + tile.column] = x[v];
  __syncthreads();
  int lanes = 32;  // that add up one group
  while (lanes > 1 && lanes * tile.groups > int(blockDim.x)) lanes /= 2;
  const int lane = int(threadIdx.x) % lanes, at_once = int(blockDim.x) / lanes;
  for (int first = 0; first < tile.groups; first += at_once) {
    const int j = first + int(threadIdx.x) / lanes;
    double sum = 0;
    for (int c = lane; j < tile.groups && c < tile.group; c += lanes) {
      const int channel = j * tile.group + c;
      sum += column[channel % V * tile_columns + channel / V];
    }
    sum = warp_fold(sum, Add{}, lanes);
    if (j < tile.groups && lane == 0) to[j] = sum;
  }
  __syncthreads();
}

// z = (x - near) a + b is γ x̂ + β:   near = μ in C,   a = γ r,   b = β - (μ - near) a
template <class C, int V> struct Affine {
  C near[V], a[V], b[V];
  // mean, rstd: of the tile's groups; gamma, beta [channels] or null
  template <class T> SSPO_DEVICE Affine(const Tile<V>& tile, const double* mean, const double* rstd, const T* gamma, const T* beta) {
    if (!tile.active) return;
    const Index c = tile.first + tile.column * V;
    C scale[V], level[V];
    for (int v = 0; v < V; ++v) scale[v] = 1, level[v] = 0;
    if (gamma) unpack(load_pack<V>(gamma + c), scale);
    if (beta) unpack(load_pack<V>(beta + c), level);
    double mu = 0, r = 0;
    for (int v = 0, last = -1; v < V; ++v) {
      if (const int j = tile.group_of(v); j != last) mu = mean[j], r = rstd[j], last = j;
      near[v] = C(mu);
      a[v] = C(double(scale[v]) * r);
      b[v] = C(double(level[v]) - (mu - double(near[v])) * double(scale[v]) * r);
    }
  }
};

// e^-z, z clamped to where that is a normal number.
SSPO_DEVICE float exp_minus(float z) { return std::exp(-(z > 87.0f ? 87.0f : z < -87.0f ? -87.0f : z)); }
SSPO_DEVICE double exp_minus(double z) { return std::exp(-(z > 708.0 ? 708.0 : z < -708.0 ? -708.0 : z)); }
template <class C> SSPO_DEVICE C silu(C z) { return z / (exp_minus(z) + C(1)); }
template <class C> SSPO_DEVICE C silu_slope(C z) {  // s (1 + z (1 - s)),  s = σ(z),  1 - s = e^-z s
  const C e = exp_minus(z), s = C(1) / (e + C(1));
  return std::fma(z * s, e * s, s);
}

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

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
