#include <algorithm>

#include "blocks.cuh"
#include "group_tiles.cuh"
#include "norm.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

using kernels::GroupNormGradArgs;
using kernels::LayerNormGradArgs;

namespace {

// --- group norm --------------------------------------------------------------------------------
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

// --- layer norm --------------------------------------------------------------------------------
// dx = r (γ g - m₁ - x̂ m₂), m₁, m₂ the row's means of γ g and γ g x̂;  dγ = Σ g x̂,  dβ = Σ g over rows.
// With t = x - near, near = μ in C:  x̂ = t r + shift,  dx = γ g r + u t + v.

template <class C> struct RowNorm {
  C near, r, shift;
  double far, rstd;
  SSPO_DEVICE RowNorm(double mean, double rstd_) : near(C(mean)), r(C(rstd_)), far(mean - double(near)), rstd(rstd_) {
    shift = C(-far * rstd);
  }
  // dx = d r + u t + v
  SSPO_DEVICE C u(double m2) const { return C(-rstd * rstd * m2); }
  SSPO_DEVICE C v(double m1, double m2) const { return C(-rstd * (m1 - rstd * far * m2)); }
};

// Owns:  block = `strip` rows; team of `team` threads = `strip_rows` of them at a time; thread = one pack of each of its team's rows:
//        its share of dγ and dβ stays in registers, and the teams' shares are added up in shared memory, the first team's first.
// Costs: x and g read once, dx written once; γ and the statistics once a strip, two numbers a channel written and read for the shares;
//        dγ and dβ themselves where one strip is all.
constexpr int most_strip = 80;
template <class T, int V>
__global__ void __launch_bounds__(strip_threads, 1) layer_norm_grad_strips(LayerNormGradArgs a, int strip, int team, Compute<T>* parts) {
  using C = Compute<T>;
  SSPO_SHARED(double, means, [most_strip]);
  SSPO_SHARED(double, rstds, [most_strip]);
  SSPO_SHARED(T, weights, [strip_threads * V]);
  SSPO_SHARED(C, folds, [2 * strip_rows][strip_threads / 32]);
  SSPO_SHARED(C, shares, [2 * V][strip_threads]);
  const int teams = int(blockDim.x) / team, mine = int(threadIdx.x) / team, member = int(threadIdx.x) % team;
  const Index K = a.channels, c = Index(member) * V, first = Index(blockIdx.x) * strip;
  const bool active = c < K;
  const T *const x = static_cast<const T*>(a.x) + c, *const g = static_cast<const T*>(a.g) + c;
  const int all = int(a.rows - first < strip ? a.rows - first : strip);
  for (int i = int(threadIdx.x); i < all; i += int(blockDim.x)) means[i] = a.mean[first + i], rstds[i] = a.rstd[first + i];
  if (a.gamma && mine == 0 && active) put_pack(weights + c, load_pack<V>(static_cast<const T*>(a.gamma) + c));
  __syncthreads();
  C gamma[V], dbeta[V] = {}, dgamma[V] = {};
  for (int v = 0; v < V; ++v) gamma[v] = 1;
  if (a.gamma && active) unpack(load_pack<V>(weights + c), gamma);
  for (int begin = 0; begin < all; begin += teams * strip_rows) {
    const int row = begin + mine * strip_rows, left = active ? all - row : 0, rows = left < strip_rows ? left : strip_rows;
    const Index at = (first + row) * K;
    Pack<T, V> xs[strip_rows], gs[strip_rows];
    load_rows(xs, x + at, K, rows);
    load_rows(gs, g + at, K, rows);
    C sums[2 * strip_rows] = {};  // 1. of γ g and γ g x̂ over each row
#pragma unroll
    for (int u = 0; u < strip_rows; ++u) {
      if (u >= rows) break;
      const RowNorm<C> k(means[row + u], rstds[row + u]);
      C t[V], d[V];
      unpack(xs[u], t);
      unpack(gs[u], d);
      for (int v = 0; v < V; ++v) {
        const C normal = std::fma(t[v] - k.near, k.r, k.shift);
        dbeta[v] += d[v];
        dgamma[v] = std::fma(d[v], normal, dgamma[v]);
        sums[2 * u] += d[v] * gamma[v];
        sums[2 * u + 1] = std::fma(d[v] * gamma[v], normal, sums[2 * u + 1]);
      }
    }
#pragma unroll
    for (int n = 0; n < 2 * strip_rows; ++n) {
      sums[n] = warp_fold(sums[n], Add{});
      if (lane_id() == 0) folds[n][threadIdx.x / 32] = sums[n];
    }
    __syncthreads();
#pragma unroll
    for (int n = 0; n < 2 * strip_rows; ++n) {
      const C* const of_team = folds[n] + mine * team / 32;
      sums[n] = of_team[0];
      for (int w = 1; w < team / 32; ++w) sums[n] += of_team[w];
    }
    __syncthreads();
#pragma unroll
    for (int u = 0; u < strip_rows; ++u) {  // 2. dx
      if (u >= rows) break;
      const RowNorm<C> k(means[row + u], rstds[row + u]);
      const double m1 = double(sums[2 * u]) / double(K), m2 = double(sums[2 * u + 1]) / double(K);
      const C slant = k.u(m2), level = k.v(m1, m2);
      C t[V], d[V];
      unpack(xs[u], t);
      unpack(gs[u], d);
      for (int v = 0; v < V; ++v) d[v] = std::fma(d[v] * gamma[v], k.r, std::fma(t[v] - k.near, slant, level));
      store_pack(static_cast<T*>(a.dx) + at + u * K + c, d);
    }
  }
  if (teams > 1)  // 3. the strip's share of dβ, then of dγ
    for (int v = 0; v < V; ++v) shares[v][threadIdx.x] = dbeta[v], shares[V + v][threadIdx.x] = dgamma[v];
  __syncthreads();
  if (mine > 0) return;
  for (int other = team + member; other < int(blockDim.x); other += team)
    for (int v = 0; v < V; ++v) dbeta[v] += shares[v][other], dgamma[v] += shares[V + v][other];
  if (gridDim.x == 1) {  // nothing to share
    if (a.dbeta && active) store_pack(static_cast<T*>(a.dbeta) + c, dbeta);
    if (a.dgamma && active) store_pack(static_cast<T*>(a.dgamma) + c, dgamma);
    return;
  }
  write_pack_by_pairs(parts + Index(blockIdx.x) * 2 * K + c, dbeta, active);
  write_pack_by_pairs(parts + (Index(blockIdx.x) * 2 + 1) * K + c, dgamma, active);
}

// The same in two kernels where a row has more packs than a block threads.
// Owns:  block = 32 channels of `strip` rows; thread = one channel and every 8th row.   Costs: x and g read once.
constexpr int column_rows = 8;
template <class T>
__global__ void __launch_bounds__(32 * column_rows) layer_norm_grad_columns(LayerNormGradArgs a, int strip, Compute<T>* parts) {
  using C = Compute<T>;
  SSPO_SHARED(double, sums, [2][column_rows][32]);
  const Index K = a.channels, blocks = (K + 31) / 32, part = Index(blockIdx.x) / blocks, c = Index(blockIdx.x) % blocks * 32 + lane_id();
  const int first = int(threadIdx.x) / 32;
  const Index last = (part + 1) * strip < a.rows ? (part + 1) * strip : a.rows;
  const Index column = c < K ? c : K - 1;
  double dbeta = 0, dgamma = 0;
  for (Index row = part * strip + first; row < last; row += column_rows) {
    const RowNorm<C> k(a.mean[row], a.rstd[row]);
    const C d = value(static_cast<const T*>(a.g)[row * K + column]), t = value(static_cast<const T*>(a.x)[row * K + column]) - k.near;
    dbeta += double(d), dgamma += double(d * std::fma(t, k.r, k.shift));
  }
  sums[0][first][lane_id()] = dbeta, sums[1][first][lane_id()] = dgamma;
  __syncthreads();
  if (first > 1 || c >= K) return;
  double total = 0;  // the first warp adds up dβ, the second dγ
  for (int r = 0; r < column_rows; ++r) total += sums[first][r][lane_id()];
  parts[(part * 2 + first) * K + c] = C(total);
}
// Owns:  block = one row.   Costs: x and g read twice, dx written once.
template <class T, int V> __global__ void __launch_bounds__(row_threads) layer_norm_grad_rows(LayerNormGradArgs a) {
  using C = Compute<T>;
  const Index K = a.channels, row = blockIdx.x;
  const T *const x = static_cast<const T*>(a.x) + row * K, *const g = static_cast<const T*>(a.g) + row * K;
  const T* const gamma = static_cast<const T*>(a.gamma);
  const RowNorm<C> k(a.mean[row], a.rstd[row]);
  const auto each = [&](auto body) {  // body(c, t, γ g)
    for (Index c = Index(threadIdx.x) * V; c < K; c += row_threads * V) {
      C t[V], d[V], scale[V];
      unpack(load_pack<V>(x + c), t);
      unpack(load_pack<V>(g + c), d);
      for (int v = 0; v < V; ++v) scale[v] = 1;
      if (gamma) unpack(load_pack<V>(gamma + c), scale);
      for (int v = 0; v < V; ++v) t[v] -= k.near, d[v] *= scale[v];
      body(c, t, d);
    }
  };
  double m[2] = {};
  each([&](Index, const C(&t)[V], const C(&d)[V]) {
    C s = 0, e = 0;
    for (int v = 0; v < V; ++v) s += d[v], e = std::fma(d[v], std::fma(t[v], k.r, k.shift), e);
    m[0] += double(s), m[1] += double(e);
  });
  team_fold<row_threads>(m, Add{});
  const C slant = k.u(m[1] / double(K)), level = k.v(m[0] / double(K), m[1] / double(K));
  each([&](Index c, const C(&t)[V], const C(&d)[V]) {
    C out[V];
    for (int v = 0; v < V; ++v) out[v] = std::fma(d[v], k.r, std::fma(t[v], slant, level));
    store_pack(static_cast<T*>(a.dx) + row * K + c, out);
  });
}

// dβ and dγ from parts [count, 2, channels].
template <class T, class P>
void weight_gradients(const Context& ctx, Index count, Index channels, const P* parts, void* dgamma, void* dbeta) {
  if (!dgamma && !dbeta) return;
  launch_sum_parts<T, P>(ctx, {1, count, 2 * channels, parts, static_cast<T*>(dbeta), static_cast<T*>(dgamma), channels});
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

void layer_norm_grad(const Context& ctx, DType dtype, const LayerNormGradArgs& a) {
  if (a.channels == 0) return;
  visit_floats("layer_norm_grad", dtype, [&]<class T>(std::type_identity<T>) {
    if (a.rows == 0) return weight_gradients<T, double>(ctx, 0, a.channels, nullptr, a.dgamma, a.dbeta);
    // A strip costs γ and four numbers in C a channel (its shares of dγ and dβ, out and in again), its rows x, g and dx: as many strips as
    // make the former 8 % of the latter, if a large GPU has not its fill before.
    const Index most = std::max<Index>(a.rows * 6 / (25 * (1 + 4 * Index(sizeof(Compute<T>) / sizeof(T)))), 1);
    const int strip = int(std::clamp<Index>(ceil_div(a.rows, 4 * 132), ceil_div(a.rows, most), most_strip));
    const Index strips = ceil_div(a.rows, strip);
    visit_pack<T>(wide_rows<T>(a.channels, a.x, a.g, a.dx, a.gamma, a.dgamma, a.dbeta), [&](auto pack) {
      constexpr int V = decltype(pack)::value;
      const Index packs = a.channels / V;
      const bool by_strips = packs <= strip_threads, alone = by_strips && strips == 1;
      const Workspace memory(ctx, alone ? 0 : std::size_t(strips * 2 * a.channels) * sizeof(Compute<T>), "layer_norm_grad");
      Compute<T>* const parts = memory.as<Compute<T>>();  // [strips, 2, channels]
      if (by_strips) {
        const int team = int(ceil_div(packs, 32) * 32), teams = int(std::min<Index>(strip_threads / team, ceil_div(strip, strip_rows)));
        const LaunchPlan plan{"layer_norm_grad_strips", blocks_along_x(strips), {unsigned(team * teams)}};
        launch(ctx.stream, plan, layer_norm_grad_strips<T, V>, a, strip, team, parts);
      } else {
        const Extent grid = blocks_along_x(strips * ceil_div(a.channels, 32));
        launch(ctx.stream, {"layer_norm_grad_columns", grid, {32 * column_rows}}, layer_norm_grad_columns<T>, a, strip, parts);
        launch(ctx.stream, {"layer_norm_grad_rows", blocks_along_x(a.rows), {row_threads}}, layer_norm_grad_rows<T, V>, a);
      }
      if (!alone) weight_gradients<T>(ctx, strips, a.channels, parts, a.dgamma, a.dbeta);
    });
  });
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
