#include "norm.hpp"

#include <algorithm>
#include <numeric>

#include "blocks.cuh"
#include "group_tiles.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

using kernels::GroupNormArgs;

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
    const double run = double(m * D * element_bytes), runs = double(positions * (arrays + 1)) * run, statistics = double(16 * m);
    const double touched = runs * sector_waste(m * D * element_bytes) + statistics * sector_waste(8 * m);
    const double waste = touched / (runs + statistics) + (aligned && !wide ? 0.3 : 0);
    if (waste < best_waste - 0.04) best = m, best_waste = waste;
    if (best_waste < 1.01) break;
  }
  if (best && (batch * ceil_div(groups, best) >= enough_blocks || positions * best * position_bytes <= small_tile)) {
    take(best * D, positions, can_be_wide(best, V), true);
    if (positions * best * position_bytes + overhead(best, V) + 16 * (best * D + V) <= room) {
      // γ and β, for the gradient the shares of dγ and dβ, too, out and in again, cost a channel as much as this many samples should have,
      // to be 7 % of x and y, or of x, g and dx
      const Index fixed = 2 * element_bytes + (arrays == 2 ? 4 * std::max(element_bytes, 4) : 0);
      const Index few = ceil_div(100 * fixed, 7 * (arrays + 1) * positions * element_bytes);
      t.samples = int(ceil_div(batch, std::max<Index>(batch / few, 1)));
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
// `weights`: γ and β are to be fetched.
template <class T, int V>
SSPO_DEVICE void normalise_tile(const GroupNormArgs& a, const GroupTiles& tiles, const Tile<V>& tile, const TileMemory<T, V>& m, bool weights) {
  tile_statistics(tiles, tile, static_cast<const T*>(a.x), m);             // 1. statistics; the tile stays in shared memory
  if (weights) fetch_weights(tile, m, a.gamma, a.beta);
  for (int j = int(threadIdx.x); j < tile.groups; j += int(blockDim.x)) {  // 2. 1/σ; both are saved
    m.rstd[j] = 1 / std::sqrt(m.first[j] / double(tiles.positions * tile.group) + a.eps);
    a.mean[tile.sample * a.groups + tile.first_group + j] = m.mean[j];
    a.rstd[tile.sample * a.groups + tile.first_group + j] = m.rstd[j];
  }
  __syncthreads();
  const Affine<Compute<T>, V> k(tile, m, a.gamma, a.beta);
  write_normalised(tiles, tile, k, m.kept + tile.column * V, Index(tiles.columns) * V, static_cast<T*>(a.y), a.silu);  // 3.
}

// Owns:  block = one tile: all positions of some groups of one sample; thread = one column of packs.
// Costs: x read once, y written once.   Needs: the tile in shared memory (group_norm_tiles).
template <class T, int V> __global__ void __launch_bounds__(tile_threads) group_norm_one_read(GroupNormArgs a, GroupTiles tiles) {
  const Tile<V> tile(tiles);
  const TileMemory<T, V> m(tiles);
  normalise_tile(a, tiles, tile, m, true);
}

// The same where there are few positions, so that γ and β weigh.
// Owns:  block = such a tile in `samples` samples, one after the other.   Costs: γ and β once a block.
// At least one block at a time is what nvcc is told: left to itself it spills.
template <class T, int V> __global__ void __launch_bounds__(tile_threads, 1) group_norm_samples(GroupNormArgs a, GroupTiles tiles) {
  Tile<V> tile(tiles);
  const TileMemory<T, V> m(tiles);
  const int samples = int(a.batch - tile.sample < tiles.samples ? a.batch - tile.sample : tiles.samples);
  for (int sample = 0; sample < samples; ++sample, tile.next_sample(tiles)) {
    if (sample > 0) __syncthreads();  // the sample before is done with
    normalise_tile(a, tiles, tile, m, sample == 0);
  }
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

}  // namespace

void group_norm(const Context& ctx, DType dtype, const GroupNormArgs& a) {
  if (a.batch * a.positions * a.channels == 0) return;
  visit_floats("group_norm", dtype, [&]<class T>(std::type_identity<T>) {
    const bool aligned = wide_rows<T>(a.channels, a.x, a.y, a.gamma, a.beta);
    const GroupTiles tiles = group_norm_tiles(a.batch, a.positions, a.channels, a.groups, int(sizeof(T)), 1, aligned, limits());
    const Extent grid = blocks_along_x(ceil_div(a.batch, tiles.samples) * tiles.across * tiles.down), block = {unsigned(tiles.threads)};
    visit_pack<T>(tiles.wide, [&](auto pack) {
      constexpr int V = decltype(pack)::value;
      const std::size_t beside = tile_memory_bytes<T, V>(tiles), shared = beside + tiles.kept_bytes;
      if (tiles.samples > 1) return launch(ctx.stream, {"group_norm_samples", grid, block, shared}, group_norm_samples<T, V>, a, tiles);
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

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
