#include "norm.hpp"

#include <algorithm>
#include <numeric>

#include "blocks.cuh"
#include "group_tiles.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

using kernels::GroupNormArgs;
using kernels::LayerNormArgs;

// --- how group norm cuts its work --------------------------------------------------------------

namespace {

// 32-byte sectors that runs of `bytes`, one after the other, touch each on its own, over those that they fill.
double sector_waste(Index bytes) {
  Index touched = 0;
  for (Index i = 0; i < 32; ++i) touched += ceil_div((i + 1) * bytes, 32) - i * bytes / 32;
  return double(touched) / double(bytes);
}
// Of 128 to `most` threads, as many as leave fewest without a column.
int best_threads(int columns, int most) {
  int best = most;
  const auto used = [&](int threads) { return double(threads / columns * columns) / threads; };
  for (int t = most; t >= 128; t -= 32)
    if (used(t) > used(best) + 0.02) best = t;
  return best;
}

}  // namespace

GroupTiles group_norm_tiles(Index batch, Index positions, Index channels, Index groups, int element_bytes, int arrays, bool aligned,
                            const DeviceLimits& limits) {
  constexpr Index enough_blocks = 64, small_tile = 80 * 1024;  // half the multiprocessors of a large GPU; one of them moves 80 KiB in about a launch's time
  constexpr Index most_samples = 8;  // that a block has to take
  const Index D = channels / groups;
  GroupTiles t{.batch = batch, .positions = positions, .channels = channels, .group = int(D)};
  const auto take = [&](Index width, Index rows, bool wide, bool one_read) {
    const Index V = wide ? 16 / element_bytes : 1;
    t.width = int(width), t.rows = int(rows), t.wide = wide, t.one_read = one_read;
    t.pieces = width < D ? int(ceil_div(D, width)) : 1;
    t.groups = width < D ? 1 : int(width / D);
    t.across = int(t.pieces > 1 ? groups * t.pieces : ceil_div(channels, width));
    t.down = int(ceil_div(positions, rows));
    t.columns = int(ceil_div(width, V));
    t.kept_bytes = std::size_t(rows * t.columns * V * element_bytes * (one_read ? arrays : arrays == 1));
    t.threads = best_threads(t.columns, t.kept_bytes > 64 * 1024 ? tile_threads : 256);
  };
  // `unit`: the fewest groups whose channels are whole packs
  const auto unit_of = [&](Index V) { return V / std::gcd(V, D); };
  const auto can_be_wide = [&](Index m, Index V) { return aligned && m % unit_of(V) == 0; };
  const Index V = 16 / element_bytes;

  // 1. one read: of the tiles that fit, the narrowest that wastes few sectors, if there are enough of them
  const Index room = Index(limits.shared_per_block) - 12 * 1024, position_bytes = D * element_bytes * arrays;
  const auto overhead = [&](Index m, Index V) { return 8 * (V * tile_columns + 4 * m) + 2 * (m * D + V) * element_bytes; };
  Index best = 0;
  double best_waste = 1.4;  // more, and reading twice costs less
  for (Index m = 1; m <= groups; ++m) {
    const bool wide = can_be_wide(m, V);
    if (m * D > tile_columns * (wide ? V : 1) || positions * m * position_bytes + overhead(m, wide ? V : 1) > room) continue;
    const double waste = sector_waste(m * D * element_bytes) + (aligned && !wide ? 0.3 : 0);
    if (waste < best_waste - 0.04) best = m, best_waste = waste;
    if (best_waste < 1.01) break;
  }
  if (best && (batch * ceil_div(groups, best) >= enough_blocks || positions * best * position_bytes <= small_tile)) {
    take(best * D, positions, can_be_wide(best, V), true);
    if (arrays == 2 && positions * best * position_bytes + overhead(best, V) + 16 * (best * D + V) <= room) {
      // γ, β and the shares of dγ and dβ, out and in again, cost a channel as much as this many samples should have, to be 7 % of x, g and dx
      const Index fixed = 2 * element_bytes + 4 * std::max(element_bytes, 4), few = ceil_div(100 * fixed, 7 * 3 * positions * element_bytes);
      t.samples = int(ceil_div(batch, std::max<Index>(batch / std::min(few, most_samples), 1)));
    }
    return t;
  }
  // 2. else tiles of 48 KiB: as many groups side by side as leave room for 32 positions, so that what is read once a tile is a small
  //    share; a wider group by itself, or a piece of it
  const bool wide = aligned && (unit_of(V) * D <= tile_columns * V || D % V == 0);
  const Index most = tile_columns * (wide ? V : 1), unit = (wide ? unit_of(V) : 1) * D, tile_bytes = 48 * 1024;
  const Index units = channels / unit, at_once = std::max<Index>(std::min(most, tile_bytes / (32 * element_bytes)) / unit, 1);
  const Index width = unit <= most ? ceil_div(units, ceil_div(units, at_once)) * unit : std::min(D, most);
  take(width, std::clamp<Index>(tile_bytes / (width * element_bytes), 1, positions), wide, false);
  return t;
}

// --- group norm --------------------------------------------------------------------------------

namespace {

// Numbers of a group, `width` channels of it, in a tile `down` tiles down.
SSPO_DEVICE double tile_count(const GroupTiles& t, Index down, int width) {
  const Index left = t.positions - down * t.rows;
  return double((left < t.rows ? left : Index(t.rows)) * width);
}

// Of each group within each tile, [batch, down, groups, pieces]: the mean and Σ (x - mean)².
struct Moments {
  double *mean, *squares;
};

// Statistics of each group within the tile: m.mean[j], and m.first[j] = Σ (x - mean)². x is read once and kept.
// 1. near = x0 + Σ (x - x0) / n in C, x0 the group's first number: close to the mean, exactly it where x is constant. A thread adds up
//    x - o, o its own first numbers, and moves the sum to x0 once that lies in shared memory.
// 2. S = Σ t, Q = Σ t² of t = x - near, from the kept tile: mean = near + S/n,  Σ (x - mean)² = Q - S²/n, which cancels nothing
template <class T, int V>
SSPO_DEVICE void tile_statistics(const GroupTiles& tiles, const Tile<V>& tile, const T* x, const TileMemory<T, V>& m) {
  using C = Compute<T>;
  constexpr int U = rows_in_flight;
  const int kept_row = tiles.columns * V;
  const double n = tile_count(tiles, tile.down, tile.group);
  double *const near = m.mean, *const sums = m.rstd, *const squares = m.first;
  C center[V] = {};
  double S[V] = {}, Q[V] = {};
  Pack<T, V> raw[U];

  for (int p = tile.row; p < tile.rows; p += U * tile.step) {  // 1.
    const int rows = (tile.rows - p + tile.step - 1) / tile.step;
    load_rows(raw, x + tile.begin + Index(p) * tiles.channels + tile.column * V, tile.step * tiles.channels, rows);
    if (p == tile.row) unpack(raw[0], center);
    C s[V] = {};
#pragma unroll
    for (int u = 0; u < U; ++u) {
      if (u >= rows) break;
      put_pack(m.kept + (p + u * tile.step) * kept_row + tile.column * V, raw[u]);
      C t[V];
      unpack(raw[u], t);
      for (int v = 0; v < V; ++v) s[v] += t[v] - center[v];
    }
    for (int v = 0; v < V; ++v) S[v] += double(s[v]);
  }
  __syncthreads();
  const auto origin = [&](int j) { return double(value(m.kept[j * tile.group])); };
  if (tile.row < tile.rows)
    for (int v = 0; v < V; ++v)
      S[v] += double((tile.rows - tile.row + tile.step - 1) / tile.step) * (double(center[v]) - origin(tile.group_of(v)));
  column_totals(S, m.column, tile, tiles.columns);
  group_totals(S, m.column, sums, tile);
  for (int j = int(threadIdx.x); j < tile.groups; j += int(blockDim.x)) near[j] = double(C(origin(j) + sums[j] / n));
  __syncthreads();

  if (tile.active)
    for (int v = 0; v < V; ++v) center[v] = C(near[tile.group_of(v)]), S[v] = 0;
  for (int p = tile.row; p < tile.rows; p += U * tile.step) {  // 2.
    const int rows = (tile.rows - p + tile.step - 1) / tile.step;
    load_rows(raw, m.kept + p * kept_row + tile.column * V, tile.step * kept_row, rows);
    C s[V] = {}, q[V] = {};
#pragma unroll
    for (int u = 0; u < U; ++u) {
      if (u >= rows) break;
      C t[V];
      unpack(raw[u], t);
      for (int v = 0; v < V; ++v) t[v] -= center[v], s[v] += t[v], q[v] = std::fma(t[v], t[v], q[v]);
    }
    for (int v = 0; v < V; ++v) S[v] += double(s[v]), Q[v] += double(q[v]);
  }
  column_totals(S, m.column, tile, tiles.columns);
  group_totals(S, m.column, sums, tile);
  column_totals(Q, m.column, tile, tiles.columns);
  group_totals(Q, m.column, squares, tile);
  for (int j = int(threadIdx.x); j < tile.groups; j += int(blockDim.x)) {
    const double inside = squares[j] - sums[j] * sums[j] / n;
    near[j] += sums[j] / n;
    squares[j] = inside > 0 || inside != inside ? inside : 0;
  }
  __syncthreads();
}

// y = act((x - near) a + b) of a tile, from `from` with rows `from_row` apart.
template <class T, int V>
SSPO_DEVICE void write_normalised(const GroupTiles& tiles, const Tile<V>& tile, const Affine<Compute<T>, V>& k, const T* from,
                                  Index from_row, T* y, bool with_silu) {
  using C = Compute<T>;
  constexpr int U = rows_in_flight;
  __syncwarp();  // lanes that read more coefficients than others meet again
  for (int p = tile.row; p < tile.rows; p += U * tile.step) {
    const int rows = (tile.rows - p + tile.step - 1) / tile.step;
    Pack<T, V> raw[U];
    load_rows(raw, from + p * from_row, tile.step * from_row, rows);
#pragma unroll
    for (int u = 0; u < U; ++u) {
      if (u >= rows) break;
      C z[V];
      unpack(raw[u], z);
      for (int v = 0; v < V; ++v) {
        z[v] = std::fma(z[v] - k.near[v], k.a[v], k.b[v]);
        if (with_silu) z[v] = silu(z[v]);
      }
      store_pack(y + tile.begin + Index(p + u * tile.step) * tiles.channels + tile.column * V, z);
    }
  }
}

// y = act(γ (x - μ) r + β), whole groups at a time                                                  Wu & He 2018
// Owns:  block = one tile: all positions of some groups of one sample; thread = one column of packs.
// Costs: x read once, y written once.   Needs: the tile in shared memory (group_norm_tiles).
template <class T, int V> __global__ void __launch_bounds__(tile_threads) group_norm_one_read(GroupNormArgs a, GroupTiles tiles) {
  const Tile<V> tile(tiles);
  const TileMemory<T, V> m(tiles);
  tile_statistics(tiles, tile, static_cast<const T*>(a.x), m);             // 1. statistics; the tile stays in shared memory
  fetch_weights(tile, m, a.gamma, a.beta);
  for (int j = int(threadIdx.x); j < tile.groups; j += int(blockDim.x)) {  // 2. 1/σ; both are saved
    m.rstd[j] = 1 / std::sqrt(m.first[j] / double(tiles.positions * tile.group) + a.eps);
    a.mean[tile.sample * a.groups + tile.first_group + j] = m.mean[j];
    a.rstd[tile.sample * a.groups + tile.first_group + j] = m.rstd[j];
  }
  __syncthreads();
  const Affine<Compute<T>, V> k(tile, m, a.gamma, a.beta);
  write_normalised(tiles, tile, k, m.kept + tile.column * V, Index(tiles.columns) * V, static_cast<T*>(a.y), a.silu);  // 3.
}

// The same in three launches where a group's positions do not fit, or are too few blocks: moments of tiles, their union, y.
// Owns: as above.   Costs: x read once.
template <class T, int V>
__global__ void __launch_bounds__(tile_threads) group_norm_moments(GroupNormArgs a, GroupTiles tiles, Moments parts) {
  const Tile<V> tile(tiles);
  const TileMemory<T, V> m(tiles);
  tile_statistics(tiles, tile, static_cast<const T*>(a.x), m);
  const Index row = a.groups * tiles.pieces, across = Index(blockIdx.x) % tiles.across;
  const Index first = (tile.sample * tiles.down + tile.down) * row + (tiles.pieces > 1 ? across : Index(tile.first_group));
  for (int j = int(threadIdx.x); j < tile.groups; j += int(blockDim.x)) {
    parts.mean[first + j] = m.mean[j];
    parts.squares[first + j] = m.first[j];
  }
}

// μ = Σ n_k μ_k / N,   N σ² = Σ Q_k + n_k (μ_k - μ)²                                                 Chan et al. 1979
// Owns:  block = 32 groups of one sample; lane = one group, warp = every `union_rows`-th tile down.   Costs: the means read twice.
constexpr int union_rows = 8;
__global__ void __launch_bounds__(32 * union_rows) group_norm_union(GroupNormArgs a, GroupTiles tiles, Moments parts) {
  SSPO_SHARED(double, sums, [2][union_rows][32]);
  const Index blocks = (a.groups + 31) / 32, sample = Index(blockIdx.x) / blocks, j = Index(blockIdx.x) % blocks * 32 + lane_id();
  const int warp = int(threadIdx.x) / 32;
  const Index row = a.groups * tiles.pieces, first = sample * tiles.down * row + (j < a.groups ? j : a.groups - 1) * tiles.pieces;
  const double N = double(tiles.positions * tiles.group), origin = parts.mean[first];
  const auto each_part = [&](auto body) {  // body(numbers, place)
    for (Index k = warp; k < tiles.down; k += union_rows)
      for (int i = 0; i < tiles.pieces; ++i) {
        const int left = tiles.group - i * tiles.width;
        body(tile_count(tiles, k, left < tiles.width ? left : tiles.width), first + k * row + i);
      }
  };
  const auto total = [&](int which, double mine) {
    sums[which][warp][lane_id()] = mine;
    __syncthreads();
    for (int w = mine = 0; w < union_rows; ++w) mine += sums[which][w][lane_id()];
    return mine;
  };
  double offset = 0, squares = 0;
  each_part([&](double n, Index place) { offset += n * (parts.mean[place] - origin); });
  offset = total(0, offset) / N;
  each_part([&](double n, Index place) {
    const double away = (parts.mean[place] - origin) - offset;
    squares += parts.squares[place] + n * away * away;
  });
  squares = total(1, squares);
  if (warp > 0 || j >= a.groups) return;
  a.mean[sample * a.groups + j] = origin + offset;
  a.rstd[sample * a.groups + j] = 1 / std::sqrt(squares / N + a.eps);
}

// Costs: x read once more, y written once; γ, β and the statistics once a tile.
template <class T, int V> __global__ void __launch_bounds__(tile_threads) group_norm_write(GroupNormArgs a, GroupTiles tiles) {
  const Tile<V> tile(tiles);
  const TileMemory<T, V> m(tiles);
  const Index first = tile.sample * a.groups + tile.first_group;
  fetch_weights(tile, m, a.gamma, a.beta);
  fetch_groups(tile, a.mean + first, m.mean);
  fetch_groups(tile, a.rstd + first, m.rstd);
  __syncthreads();
  const Affine<Compute<T>, V> k(tile, m, a.gamma, a.beta);
  const T* const x = static_cast<const T*>(a.x) + tile.begin + tile.column * V;
  write_normalised(tiles, tile, k, x, tiles.channels, static_cast<T*>(a.y), a.silu);
}

// --- layer norm --------------------------------------------------------------------------------

// y = γ (x - μ) r + β, each row its own                                                            Ba et al. 2016
// 1. near = x0 + Σ (x - x0) / n in C   2. μ and σ² from t = x - near, as for group norm   3. y
// A block's rows share one reading of γ and β; their statistics go out together.
constexpr int most_rows = 16;  // a block's

// From S = Σ t and Q = Σ t² of one row: offset = μ - near and 1/σ.
SSPO_DEVICE void row_statistics(const LayerNormArgs& a, double S, double Q, double& offset, double& rstd) {
  offset = S / double(a.channels);
  const double variance = Q / double(a.channels) - offset * offset;
  rstd = 1 / std::sqrt((variance > 0 || variance != variance ? variance : 0) + a.eps);
}
// Of the block's rows, from `first` on. Needs the whole block.
SSPO_DEVICE void write_statistics(const LayerNormArgs& a, Index first, int rows, const double* mean, const double* rstd) {
  __syncthreads();
  if (const int i = int(threadIdx.x); i < rows) a.mean[first + i] = mean[i], a.rstd[first + i] = rstd[i];
}
template <class C, int V> SSPO_DEVICE void normalise(const C (&x)[V], C near, C r, C shift, const C (&scale)[V], const C (&level)[V], C (&y)[V]) {
  for (int v = 0; v < V; ++v) y[v] = std::fma(std::fma(x[v] - near, r, shift), scale[v], level[v]);
}

// Owns:  block = `rows_each` rows; team = one of them at a time: a warp, or the block for long rows; thread = every TEAM-th pack.
// Costs: x read once where K > 0 (the row stays in registers), else three times; y written once; γ and β once a block, or a row.
// Needs: γ and β in shared memory where K > 0.
template <class T, int V, int TEAM, int K> __global__ void __launch_bounds__(row_threads) layer_norm_rows(LayerNormArgs a, int rows_each) {
  using C = Compute<T>;
  SSPO_SHARED(double, means, [most_rows]);
  SSPO_SHARED(double, rstds, [most_rows]);
  const Index n = a.channels, first = Index(blockIdx.x) * rows_each;
  const int rows = int(a.rows - first < rows_each ? a.rows - first : rows_each), member = int(threadIdx.x) % TEAM;
  const T *gamma = static_cast<const T*>(a.gamma), *beta = static_cast<const T*>(a.beta);
  if constexpr (K > 0) {
    T* const kept = dynamic_shared<T>();  // [2, n]
    for (Index c = Index(threadIdx.x) * V; c < n; c += row_threads * V) {
      if (gamma) put_pack(kept + c, load_pack<V>(gamma + c));
      if (beta) put_pack(kept + n + c, load_pack<V>(beta + c));
    }
    gamma = kept, beta = kept + n;
    __syncthreads();
  }
  for (int i = int(threadIdx.x) / TEAM; i < rows; i += row_threads / TEAM) {
    const Row<T, V, TEAM, K> x(static_cast<const T*>(a.x) + (first + i) * n, n / V, member);
    const C x0 = x.first();
    double sum = 0;
    x.each([&](Index, const C(&v)[V]) {
      C s = 0;
      for (C e : v) s += e - x0;
      sum += double(s);
    });
    const C near = C(double(x0) + team_fold<TEAM>(sum, Add{}) / double(n));
    double sums[2] = {};
    x.each([&](Index, const C(&v)[V]) {
      C s = 0, q = 0;
      for (C e : v) s += e - near, q = std::fma(e - near, e - near, q);
      sums[0] += double(s), sums[1] += double(q);
    });
    team_fold<TEAM>(sums, Add{});
    double offset, rstd;
    row_statistics(a, sums[0], sums[1], offset, rstd);
    if (member == 0) means[i] = double(near) + offset, rstds[i] = rstd;
    T* const y = static_cast<T*>(a.y) + (first + i) * n;
    x.each([&](Index c, const C(&v)[V]) {
      C scale[V], level[V], out[V];
      for (int e = 0; e < V; ++e) scale[e] = 1, level[e] = 0;
      if (a.gamma) unpack(load_pack<V>(gamma + c), scale);
      if (a.beta) unpack(load_pack<V>(beta + c), level);
      normalise(v, near, C(rstd), C(-offset * rstd), scale, level, out);
      store_pack(y + c, out);
    });
  }
  write_statistics(a, first, rows, means, rstds);
}

// Owns:  block = `most_rows` rows, `strip_rows` at a time; thread = one pack of each, its γ and β in registers.
// Costs: x read once, y written once, γ and β once a block.
template <class T, int V> __global__ void __launch_bounds__(strip_threads, 1) layer_norm_strips(LayerNormArgs a) {
  using C = Compute<T>;
  SSPO_SHARED(double, means, [most_rows]);
  SSPO_SHARED(double, rstds, [most_rows]);
  SSPO_SHARED(C, origins, [strip_rows]);
  const Index n = a.channels, c = Index(threadIdx.x) * V, first = Index(blockIdx.x) * most_rows;
  const int all = int(a.rows - first < most_rows ? a.rows - first : most_rows);
  const bool active = c < n;
  Pack<T, V> gamma{}, beta{};
  if (active && a.gamma) gamma = load_pack<V>(static_cast<const T*>(a.gamma) + c);
  if (active && a.beta) beta = load_pack<V>(static_cast<const T*>(a.beta) + c);
  for (int begin = 0; begin < all; begin += strip_rows) {
    const int rows = all - begin < strip_rows ? all - begin : strip_rows;
    const Index at = (first + begin) * n + c;
    Pack<T, V> xs[strip_rows];
    load_rows(xs, static_cast<const T*>(a.x) + at, n, active ? rows : 0);
    C x[V], near[strip_rows];
#pragma unroll
    for (int u = 0; u < strip_rows; ++u)
      if (u < rows && threadIdx.x == 0) unpack(xs[u], x), origins[u] = x[0];
    __syncthreads();
    double sums[strip_rows] = {}, pairs[2 * strip_rows] = {};
#pragma unroll
    for (int u = 0; u < strip_rows; ++u) {
      near[u] = u < rows ? origins[u] : C(0);
      if (u >= rows || !active) continue;
      C s = 0;
      unpack(xs[u], x);
      for (C e : x) s += e - near[u];
      sums[u] = double(s);
    }
    team_fold<strip_threads>(sums, Add{});
#pragma unroll
    for (int u = 0; u < strip_rows; ++u) {
      near[u] = C(double(near[u]) + sums[u] / double(n));
      if (u >= rows || !active) continue;
      C s = 0, q = 0;
      unpack(xs[u], x);
      for (C e : x) s += e - near[u], q = std::fma(e - near[u], e - near[u], q);
      pairs[2 * u] = double(s), pairs[2 * u + 1] = double(q);
    }
    team_fold<strip_threads>(pairs, Add{});
#pragma unroll
    for (int u = 0; u < strip_rows; ++u) {
      if (u >= rows) break;
      double offset, rstd;
      row_statistics(a, pairs[2 * u], pairs[2 * u + 1], offset, rstd);
      if (threadIdx.x == 0) means[begin + u] = double(near[u]) + offset, rstds[begin + u] = rstd;
      if (!active) continue;
      C scale[V], level[V], y[V];
      for (int v = 0; v < V; ++v) scale[v] = 1;
      unpack(beta, level);  // zeros where there is none
      if (a.gamma) unpack(gamma, scale);
      unpack(xs[u], x);
      normalise(x, near[u], C(rstd), C(-offset * rstd), scale, level, y);
      store_pack(static_cast<T*>(a.y) + at + u * n, y);
    }
  }
  write_statistics(a, first, all, means, rstds);
}

}  // namespace

void group_norm(const Context& ctx, DType dtype, const GroupNormArgs& a) {
  if (a.batch * a.positions * a.channels == 0) return;
  visit_floats("group_norm", dtype, [&]<class T>(std::type_identity<T>) {
    const bool aligned = wide_rows<T>(a.channels, a.x, a.y, a.gamma, a.beta);
    const GroupTiles tiles = group_norm_tiles(a.batch, a.positions, a.channels, a.groups, int(sizeof(T)), 1, aligned, limits());
    const Extent grid = blocks_along_x(a.batch * tiles.across * tiles.down), block = {unsigned(tiles.threads)};
    visit_pack<T>(tiles.wide, [&](auto pack) {
      constexpr int V = decltype(pack)::value;
      const std::size_t beside = tile_memory_bytes<T, V>(tiles), shared = beside + tiles.kept_bytes;
      if (tiles.one_read) return launch(ctx.stream, {"group_norm_one_read", grid, block, shared}, group_norm_one_read<T, V>, a, tiles);
      const Index samples = a.batch * a.groups;
      const Index count = samples * tiles.down * tiles.pieces;
      const Workspace memory(ctx, std::size_t(2 * count) * sizeof(double), "group_norm");
      const Moments parts{memory.as<double>(), memory.as<double>() + count};
      launch(ctx.stream, {"group_norm_moments", grid, block, shared}, group_norm_moments<T, V>, a, tiles, parts);
      const Extent by_groups = blocks_along_x(a.batch * ceil_div(a.groups, 32));
      launch(ctx.stream, {"group_norm_union", by_groups, {32 * union_rows}}, group_norm_union, a, tiles, parts);
      launch(ctx.stream, {"group_norm_write", grid, block, beside}, group_norm_write<T, V>, a, tiles);
    });
  });
}

void layer_norm(const Context& ctx, DType dtype, const LayerNormArgs& a) {
  if (a.rows * a.channels == 0) return;
  visit_row_kernels("layer_norm", dtype, a.rows, a.channels, [&](auto kind, Extent) {
    using R = decltype(kind);
    using T = typename R::Type;
    const Index packs = a.channels / R::V;
    if (R::TEAM > 32 && packs <= strip_threads) {
      const LaunchPlan plan{"layer_norm_strips", blocks_along_x(ceil_div(a.rows, most_rows)), {unsigned(ceil_div(packs, 32) * 32)}};
      return launch(ctx.stream, plan, layer_norm_strips<T, R::V>, a);
    }
    // A block takes rows of more than `strip_threads` packs one after the other: fewer where that would leave a GPU idle.
    const Index rows_each = R::TEAM == 32 ? most_rows : std::clamp<Index>(a.rows / 64, 1, most_rows);
    const std::size_t shared = R::K > 0 ? 2 * std::size_t(a.channels) * sizeof(T) : 0;
    const LaunchPlan plan{"layer_norm_rows", blocks_along_x(ceil_div(a.rows, rows_each)), {row_threads}, shared};
    launch(ctx.stream, plan, layer_norm_rows<T, R::V, R::TEAM, R::K>, a, int(rows_each));
  }, a.x, a.y, a.gamma, a.beta);
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
