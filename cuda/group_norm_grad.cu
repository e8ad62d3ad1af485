#include <algorithm>

#include "blocks.cuh"
#include "group_tiles.cuh"
#include "norm.hpp"
#include "sum_parts.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

using kernels::GroupNormGradArgs;

namespace {

// With t = x - near, z = t a + b (Affine) and d = dL/dz = g, or g silu'(z):
//   dβ = Σ d    dγ = Σ d x̂    dx = r (γ d - m₁ - x̂ m₂)    m₁, m₂ = the group's means of γ d and γ d x̂
// x̂ = r (t - far), far = μ - near, turns E = Σ d t into Σ d x̂ = r (E - far Σ d), and dx into d a + u t + v.

// d and t of one pack of x and g
template <class T, int V>
SSPO_DEVICE void slopes(const Affine<Compute<T>, V>& k, bool silu_too, const Pack<T, V>& x, const Pack<T, V>& g,
                        Compute<T> (&d)[V], Compute<T> (&t)[V]) {
  unpack(x, t);
  unpack(g, d);
#pragma unroll
  for (int v = 0; v < V; ++v) {
    t[v] -= k.near[v];
    if (silu_too) d[v] *= silu_slope(std::fma(t[v], k.a[v], k.b[v]));
  }
}

// A = Σ d and E = Σ d x̂ of each channel over the tile's rows, in the threads of row 0. `kept` takes the tile's x, then its g, unless
// it is null.
template <class T, int V>
SSPO_DEVICE void tile_slope_sums(const GroupNormGradArgs& a, const GroupTiles& tiles, const Tile<V>& tile, const Affine<Compute<T>, V>& k,
                                 const TileMemory<T, V>& m, T* kept, double (&A)[V], double (&E)[V]) {
  using C = Compute<T>;
  constexpr int U = rows_in_flight / 2;
  const T *const x = static_cast<const T*>(a.x), *const g = static_cast<const T*>(a.g);
  const Index step = tile.step * tiles.channels;
  const int kept_row = tiles.columns * V;
  __syncwarp();  // lanes that read more coefficients than others meet again
  for (int p = tile.row; p < tile.rows; p += U * tile.step) {
    const int rows = (tile.rows - p + tile.step - 1) / tile.step;
    const Index at = tile.begin + Index(p) * tiles.channels + tile.column * V;
    Pack<T, V> xs[U], gs[U];
    load_rows(xs, x + at, step, rows);
    load_rows(gs, g + at, step, rows);
    C s[V] = {}, e[V] = {};
#pragma unroll
    for (int u = 0; u < U; ++u) {
      if (u >= rows) break;
      if (kept) {
        T* const place = kept + (p + u * tile.step) * kept_row + tile.column * V;
        put_pack(place, xs[u]);
        put_pack(place + tiles.rows * kept_row, gs[u]);
      }
      C d[V], t[V];
      slopes(k, a.silu, xs[u], gs[u], d, t);
      for (int v = 0; v < V; ++v) s[v] += d[v], e[v] = std::fma(d[v], t[v], e[v]);
    }
    for (int v = 0; v < V; ++v) A[v] += double(s[v]), E[v] += double(e[v]);
  }
  column_totals(A, m.column, tile, tiles.columns);
  column_totals(E, m.column, tile, tiles.columns);
  if (!tile.totals_here()) return;
  for (int v = 0; v < V; ++v) {
    const int j = tile.group_of(v);
    E[v] = m.rstd[j] * (E[v] - (m.mean[j] - double(k.near[v])) * A[v]);
  }
}
// A and E as share `index` of dβ and dγ: parts [shares, 2, channels]. Needs the whole block.
template <class C, int V>
SSPO_DEVICE void write_shares(const GroupTiles& tiles, const Tile<V>& tile, const C (&A)[V], const C (&E)[V], C* parts, Index index) {
  C* const to = parts + index * 2 * tiles.channels + tile.first + Index(threadIdx.x) * V;  // the threads of row 0 are the first
  write_pack_by_pairs(to, A, tile.totals_here());
  write_pack_by_pairs(to + tiles.channels, E, tile.totals_here());
}

// dx of a tile from x and g, their rows `from_row` apart; m.first and m.second: m₁ and m₂ of the tile's groups.
template <class T, int V>
SSPO_DEVICE void write_gradient(const GroupNormGradArgs& a, const GroupTiles& tiles, const Tile<V>& tile, const Affine<Compute<T>, V>& k,
                                const TileMemory<T, V>& m, const T* x, const T* g, Index from_row) {
  using C = Compute<T>;
  constexpr int U = rows_in_flight / 2;
  C slant[V] = {}, level[V] = {};
  __syncwarp();  // as above
  if (tile.active)
    for (int v = 0; v < V; ++v) {
      const int j = tile.group_of(v);
      const double r = m.rstd[j];
      slant[v] = C(-r * r * m.second[j]);
      level[v] = C(-r * (m.first[j] - r * (m.mean[j] - double(k.near[v])) * m.second[j]));
    }
  __syncwarp();
  for (int p = tile.row; p < tile.rows; p += U * tile.step) {
    const int rows = (tile.rows - p + tile.step - 1) / tile.step;
    Pack<T, V> xs[U], gs[U];
    load_rows(xs, x + p * from_row, tile.step * from_row, rows);
    load_rows(gs, g + p * from_row, tile.step * from_row, rows);
#pragma unroll
    for (int u = 0; u < U; ++u) {
      if (u >= rows) break;
      C d[V], t[V];
      slopes(k, a.silu, xs[u], gs[u], d, t);
      for (int v = 0; v < V; ++v) d[v] = std::fma(d[v], k.a[v], std::fma(t[v], slant[v], level[v]));
      store_pack(static_cast<T*>(a.dx) + tile.begin + Index(p + u * tile.step) * tiles.channels + tile.column * V, d);
    }
  }
}

// What a block reads once, γ and β for all of its samples, and what its threads make of it.
template <class T, int V>
SSPO_DEVICE Affine<Compute<T>, V> affine_of(const GroupNormGradArgs& a, const Tile<V>& tile, const TileMemory<T, V>& m, bool weights = true) {
  const Index first = tile.sample * a.groups + tile.first_group;
  if (weights) fetch_weights(tile, m, a.gamma, a.beta);
  fetch_groups(tile, a.mean + first, m.mean);
  fetch_groups(tile, a.rstd + first, m.rstd);
  __syncthreads();
  return {tile, m, a.gamma != nullptr, a.beta != nullptr};
}

// Sums of a channel as a share of dβ and dγ, or, where there are no parts, as dβ and dγ. Needs the whole block.
template <class T, int V>
SSPO_DEVICE void write_sums(const GroupNormGradArgs& a, const GroupTiles& tiles, const Tile<V>& tile, const Compute<T> (&dbeta)[V],
                            const Compute<T> (&dgamma)[V], Compute<T>* parts, Index index) {
  if (parts) return write_shares(tiles, tile, dbeta, dgamma, parts, index);
  if (!tile.totals_here()) return;
  const Index c = tile.first + tile.column * V;
  if (a.dbeta) store_pack(static_cast<T*>(a.dbeta) + c, dbeta);
  if (a.dgamma) store_pack(static_cast<T*>(a.dgamma) + c, dgamma);
}

// dx of a tile that stays in shared memory; take(A, E) gets its channels' sums.
template <class T, int V, class F>
SSPO_DEVICE void tile_gradient(const GroupNormGradArgs& a, const GroupTiles& tiles, const Tile<V>& tile, const TileMemory<T, V>& m, bool weights, F take) {
  const Affine<Compute<T>, V> k = affine_of(a, tile, m, weights);
  double A[V] = {}, E[V] = {};
  tile_slope_sums(a, tiles, tile, k, m, m.kept, A, E);  // 1. read, keep, add up by channel
  take(A, E);
  if (tile.totals_here() && a.gamma) {                  // 2. and by group
    Compute<T> gamma[V];
    unpack(load_pack<V>(m.gamma + tile.column * V), gamma);
    for (int v = 0; v < V; ++v) A[v] *= double(gamma[v]), E[v] *= double(gamma[v]);
  }
  group_totals(A, m.column, m.first, tile);
  group_totals(E, m.column, m.second, tile);
  const double n = double(tiles.positions * tile.group);
  for (int j = int(threadIdx.x); j < tile.groups; j += int(blockDim.x)) m.first[j] /= n, m.second[j] /= n;
  __syncthreads();
  const int kept_row = tiles.columns * V;  // 3. dx from what was kept
  const T* const x = m.kept + tile.column * V;
  write_gradient(a, tiles, tile, k, m, x, x + tiles.rows * kept_row, Index(kept_row));
}

// Owns:  block = one tile: all positions of some groups of one sample; thread = one column of packs.
// Costs: x and g read once, dx written once.   Needs: the tile of x and g in shared memory (group_norm_tiles).
template <class T, int V>
__global__ void __launch_bounds__(tile_threads) group_norm_grad_one_read(GroupNormGradArgs a, GroupTiles tiles, Compute<T>* parts) {
  const Tile<V> tile(tiles);
  const TileMemory<T, V> m(tiles);
  tile_gradient(a, tiles, tile, m, true, [&](const double(&A)[V], const double(&E)[V]) {
    Compute<T> dbeta[V], dgamma[V];
    for (int v = 0; v < V; ++v) dbeta[v] = Compute<T>(A[v]), dgamma[v] = Compute<T>(E[v]);
    write_sums<T>(a, tiles, tile, dbeta, dgamma, parts, tile.sample);
  });
}

// The same where there are few positions, so that γ, β and the shares of dγ and dβ weigh.
// Owns:  block = such a tile in `samples` samples, one after the other.   Costs: γ and β, dγ and dβ or their shares, once a block.
// At least one block at a time is what nvcc is told, here and below: left to itself it spills.
template <class T, int V>
__global__ void __launch_bounds__(tile_threads, 1) group_norm_grad_samples(GroupNormGradArgs a, GroupTiles tiles, Compute<T>* parts) {
  Tile<V> tile(tiles);
  const TileMemory<T, V> m(tiles);
  const Index index = tile.sample / tiles.samples;
  const int samples = int(a.batch - tile.sample < tiles.samples ? a.batch - tile.sample : tiles.samples);
  const auto share = [&](int which, int v) -> double& { return m.shares[(which * V + v) * tiles.columns + tile.column]; };
  if (tile.totals_here())
    for (int v = 0; v < V; ++v) share(0, v) = share(1, v) = 0;
  for (int sample = 0; sample < samples; ++sample, tile.next_sample(tiles)) {
    if (sample > 0) __syncthreads();  // the sample before is done with
    tile_gradient(a, tiles, tile, m, sample == 0, [&](const double(&A)[V], const double(&E)[V]) {
      if (tile.totals_here())
        for (int v = 0; v < V; ++v) share(0, v) += A[v], share(1, v) += E[v];
      __syncwarp();
    });
  }
  Compute<T> dbeta[V] = {}, dgamma[V] = {};
  if (tile.totals_here())
    for (int v = 0; v < V; ++v) dbeta[v] = Compute<T>(share(0, v)), dgamma[v] = Compute<T>(share(1, v));
  __syncwarp();
  write_sums<T>(a, tiles, tile, dbeta, dgamma, parts, index);
}

// The same in steps where a group's positions do not fit, or are too few blocks. Owns: as above.  Costs: x and g read once.
template <class T, int V>
__global__ void __launch_bounds__(tile_threads, sizeof(T) == 8 ? 1 : 0) group_norm_grad_sums(GroupNormGradArgs a, GroupTiles tiles, Compute<T>* parts) {
  const Tile<V> tile(tiles);
  const TileMemory<T, V> m(tiles);
  double A[V] = {}, E[V] = {};
  tile_slope_sums(a, tiles, tile, affine_of(a, tile, m), m, static_cast<T*>(nullptr), A, E);
  Compute<T> a_share[V], e_share[V];
  for (int v = 0; v < V; ++v) a_share[v] = Compute<T>(A[v]), e_share[v] = Compute<T>(E[v]);
  write_shares(tiles, tile, a_share, e_share, parts, tile.sample * tiles.down + tile.down);
}

// m₁, m₂ of each group from the sums of its channels, sums [batch, 2, channels]; means [2, batch, groups].
// Owns:  block = one group of one sample.
template <class T> __global__ void __launch_bounds__(128) group_norm_grad_means(GroupNormGradArgs a, const double* sums, double* means) {
  const Index index = blockIdx.x, sample = index / a.groups, D = a.channels / a.groups, first = index % a.groups * D;
  double m[2] = {};
  for (Index i = threadIdx.x; i < D; i += 128) {
    const double gamma = a.gamma ? double(value(static_cast<const T*>(a.gamma)[first + i])) : 1;
    for (int which = 0; which < 2; ++which) m[which] += gamma * sums[(2 * sample + which) * a.channels + first + i];
  }
  team_fold<128>(m, Add{});
  if (threadIdx.x > 0) return;
  for (int which = 0; which < 2; ++which) means[which * a.batch * a.groups + index] = m[which] / double(a.positions * D);
}

// Costs: x and g read once more, dx written once; γ, β, statistics and means once a tile.
template <class T, int V>
__global__ void __launch_bounds__(tile_threads) group_norm_grad_write(GroupNormGradArgs a, GroupTiles tiles, const double* means) {
  const Tile<V> tile(tiles);
  const TileMemory<T, V> m(tiles);
  const T* const x = static_cast<const T*>(a.x) + tile.begin + tile.column * V;
  const T* const g = static_cast<const T*>(a.g) + tile.begin + tile.column * V;
  const double *const m1 = means + tile.sample * a.groups + tile.first_group, *const m2 = m1 + a.batch * a.groups;
  fetch_groups(tile, m1, m.first);
  fetch_groups(tile, m2, m.second);
  write_gradient(a, tiles, tile, affine_of(a, tile, m), m, x, g, tiles.channels);
}

}  // namespace

void group_norm_grad(const Context& ctx, DType dtype, const GroupNormGradArgs& a) {
  if (a.channels == 0) return;
  visit_floats("group_norm_grad", dtype, [&]<class T>(std::type_identity<T>) {
    if (a.batch * a.positions == 0) return weight_gradients<T, double>(ctx, 0, a.channels, nullptr, a.dgamma, a.dbeta);
    const bool aligned = wide_rows<T>(a.channels, a.x, a.g, a.dx, a.gamma, a.beta, a.dgamma, a.dbeta);
    const GroupTiles tiles = group_norm_tiles(a.batch, a.positions, a.channels, a.groups, int(sizeof(T)), 2, aligned, limits());
    const Index sums_size = a.batch * 2 * a.channels, times = ceil_div(a.batch, tiles.samples);  // [batch, 2, channels]
    const Index part_size = tiles.samples < a.batch || !tiles.one_read ? times * tiles.down * 2 * a.channels : 0;
    const Workspace part_memory(ctx, std::size_t(part_size) * sizeof(Compute<T>), "group_norm_grad");
    Compute<T>* const parts = part_size > 0 ? part_memory.as<Compute<T>>() : nullptr;  // [times, down, 2, channels]
    visit_pack<T>(tiles.wide, [&](auto pack) {
      constexpr int V = decltype(pack)::value;
      const Extent grid = blocks_along_x(times * tiles.across * tiles.down), block = {unsigned(tiles.threads)};
      const std::size_t beside = tile_memory_bytes<T, V>(tiles), shared = beside + tiles.kept_bytes;
      if (tiles.one_read) {
        if (tiles.samples > 1) launch(ctx.stream, {"group_norm_grad_samples", grid, block, shared}, group_norm_grad_samples<T, V>, a, tiles, parts);
        else launch(ctx.stream, {"group_norm_grad_one_read", grid, block, shared}, group_norm_grad_one_read<T, V>, a, tiles, parts);
        if (parts) weight_gradients<T>(ctx, times, a.channels, parts, a.dgamma, a.dbeta);
        return;
      }
      const Workspace total_memory(ctx, std::size_t(sums_size + 2 * a.batch * a.groups) * sizeof(double), "group_norm_grad");
      double *const sums = total_memory.as<double>(), *const means = sums + sums_size;
      launch(ctx.stream, {"group_norm_grad_sums", grid, block, shared}, group_norm_grad_sums<T, V>, a, tiles, parts);
      launch_sum_parts<double, Compute<T>>(ctx, {a.batch, tiles.down, 2 * a.channels, parts, sums, nullptr, 2 * a.channels});
      launch(ctx.stream, {"group_norm_grad_means", blocks_along_x(a.batch * a.groups), {128}}, group_norm_grad_means<T>, a, sums, means);
      launch(ctx.stream, {"group_norm_grad_write", grid, block, beside}, group_norm_grad_write<T, V>, a, tiles, means);
      weight_gradients<T, double>(ctx, a.batch, a.channels, sums, a.dgamma, a.dbeta);
    });
  });
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
