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
    sample = tile / t.across / t.down * t.samples;
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
  SSPO_DEVICE void next_sample(const GroupTiles& t) { ++sample, begin += t.positions * t.channels; }
  SSPO_DEVICE int group_of(int v) const { return (column * V + v) / group; }  // within the tile, of this thread's channel v
  SSPO_DEVICE bool totals_here() const { return active && row == 0; }        // column totals end up in these threads
  SSPO_DEVICE static Index min(Index a, Index b) { return a < b ? a : b; }
};

// Between the sums of a pack's neighbours: 16 channels side by side meet no bank twice.
template <int V> inline constexpr int column_pitch = tile_columns + 16 / V;

// A tile's shared memory: column sums, numbers of its groups, γ and β of its channels, what is kept of x and g; shares of dγ and dβ
// where a block takes several samples.
template <class T, int V> struct TileMemory {
  double* column;                        // [V, column_pitch]
  double* shares;                        // [2, V, columns], or nothing
  double *mean, *rstd, *first, *second;  // [groups] each: statistics, and what a kernel sums up
  T *gamma, *beta;                       // [columns * V]
  T* kept;                               // [arrays, rows, columns * V]
  SSPO_DEVICE explicit TileMemory(const GroupTiles& t) {
    column = dynamic_shared<double>();
    shares = column + V * column_pitch<V>;
    mean = shares + (t.samples > 1 ? 2 * V * t.columns : 0);
    rstd = mean + t.groups, first = rstd + t.groups, second = first + t.groups;
    gamma = reinterpret_cast<T*>(second + t.groups);
    beta = gamma + t.columns * V;
    kept = beta + t.columns * V;
  }
};
// Beside what is kept.
template <class T, int V> std::size_t tile_memory_bytes(const GroupTiles& t) {
  const int doubles = V * column_pitch<V> + 4 * t.groups + (t.samples > 1 ? 2 * V * t.columns : 0);
  return sizeof(double) * std::size_t(doubles) + 2 * sizeof(T) * V * std::size_t(t.columns);
}

// What a block reads once and its threads share: γ and β by the threads of row 0, numbers of groups by any. Then: __syncthreads.
template <class T, int V> SSPO_DEVICE void fetch_weights(const Tile<V>& tile, const TileMemory<T, V>& m, const void* gamma, const void* beta) {
  if (!tile.totals_here()) return;
  const int c = tile.column * V;
  if (gamma) put_pack(m.gamma + c, load_pack<V>(static_cast<const T*>(gamma) + tile.first + c));
  if (beta) put_pack(m.beta + c, load_pack<V>(static_cast<const T*>(beta) + tile.first + c));
}
template <int V> SSPO_DEVICE void fetch_groups(const Tile<V>& tile, const double* from, double* to) {
  for (int j = int(threadIdx.x); j < tile.groups; j += int(blockDim.x)) to[j] = from[j];
}

// x of a column added up over the rows of threads, by halves; the threads of row 0 get the sums. Needs the whole block.
template <int V> SSPO_DEVICE void column_totals(double (&x)[V], double* column, const Tile<V>& tile, int columns) {
  for (int rows = tile.step; rows > 1;) {
    const int half = (rows + 1) / 2;
    __syncthreads();
    if (tile.row >= half && tile.row < rows)
      for (int v = 0; v < V; ++v) column[v * column_pitch<V> + (tile.row - half) * columns + tile.column] = x[v];
    __syncthreads();
    if (tile.row + half < rows)
      for (int v = 0; v < V; ++v) x[v] += column[v * column_pitch<V> + tile.row * columns + tile.column];
    rows = half;
  }
}
// to[j] = Σ of x over group j's channels in the tile, x being what the threads of row 0 hold. Needs the whole block.
template <int V> SSPO_DEVICE void group_totals(const double (&x)[V], double* column, double* to, const Tile<V>& tile) {
  __syncthreads();
  if (tile.totals_here())
    for (int v = 0; v < V; ++v) column[v * column_pitch<V> + tile.column] = x[v];
  __syncthreads();
  int lanes = 32;  // that add up one group
  while (lanes > 1 && lanes * tile.groups > int(blockDim.x)) lanes /= 2;
  const int lane = int(threadIdx.x) % lanes, at_once = int(blockDim.x) / lanes;
  for (int first = 0; first < tile.groups; first += at_once) {
    const int j = first + int(threadIdx.x) / lanes;
    double sum = 0;
    for (int c = lane; j < tile.groups && c < tile.group; c += lanes) {
      const int channel = j * tile.group + c;
      sum += column[channel % V * column_pitch<V> + channel / V];
    }
    sum = warp_fold(sum, Add{}, lanes);
    if (j < tile.groups && lane == 0) to[j] = sum;
  }
  __syncthreads();
}

// z = (x - near) a + b is γ x̂ + β:   near = μ in C,   a = γ r,   b = β - (μ - near) a
template <class C, int V> struct Affine {
  C near[V], a[V], b[V];
  // From what lies in shared memory; has_gamma, has_beta: else 1 and 0.
  template <class T> SSPO_DEVICE Affine(const Tile<V>& tile, const TileMemory<T, V>& m, bool has_gamma, bool has_beta) {
    if (!tile.active) return;
    C scale[V], level[V];
    for (int v = 0; v < V; ++v) scale[v] = 1, level[v] = 0;
    if (has_gamma) unpack(load_pack<V>(m.gamma + tile.column * V), scale);
    if (has_beta) unpack(load_pack<V>(m.beta + tile.column * V), level);
    double mu = 0, r = 0;
    for (int v = 0, last = -1; v < V; ++v) {
      if (const int j = tile.group_of(v); j != last) mu = m.mean[j], r = m.rstd[j], last = j;
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

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
