#include <algorithm>

#include "blocks.cuh"
#include "norm.hpp"
#include "sum_parts.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

using kernels::LayerNormGradArgs;

namespace {

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
// Needs: rows that packs do not fit (V = 1) to go by way of shared memory, those of all teams in one span.
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
    T* const span = dynamic_shared<T>();  // x, then dx, [rows of all teams, K]; g
    const int at_once = teams * strip_rows, span_size = (all - begin < at_once ? all - begin : at_once) * int(K), ahead = int((first + begin) * K % 32);
    T* const own = span + mine * strip_rows * K + c;
    if constexpr (V == 1) {
      __syncthreads();  // the rows before are written
      copy_span(span, static_cast<const T*>(a.x) + (first + begin) * K, span_size, ahead);
      copy_span(span + at_once * K, static_cast<const T*>(a.g) + (first + begin) * K, span_size, ahead);
      __syncthreads();
    }
    load_rows(xs, V == 1 ? own : x + at, K, rows);
    load_rows(gs, V == 1 ? own + at_once * K : g + at, K, rows);
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
      store_pack((V == 1 ? own : static_cast<T*>(a.dx) + at + c) + u * K, d);
    }
    if constexpr (V == 1) {
      __syncthreads();
      copy_span(static_cast<T*>(a.dx) + (first + begin) * K, span, span_size, ahead);
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

// The same where a row has more packs than a block threads.
// Owns:  block = `strip` rows, one after the other; thread = every 512th pack of x and g, at most K, in registers, their channels' shares of
//        dβ and dγ in shared memory. Rows that packs do not fit begin anywhere in a sector: lanes count from its start.
// Costs: as above.   Needs: dβ, dγ and γ of the row in shared memory.
template <class T> constexpr int sum_pack = 16 / int(sizeof(Compute<T>));  // as wide as shared memory is read without waiting
template <class T, int V, int K>
__global__ void __launch_bounds__(strip_threads, 1) layer_norm_grad_blocks(LayerNormGradArgs a, int strip, Compute<T>* parts) {
  using C = Compute<T>;
  SSPO_SHARED(double, means, [most_strip]);
  SSPO_SHARED(double, rstds, [most_strip]);
  constexpr int stride = strip_threads * V;
  const int thread = int(threadIdx.x) * V, n = int(a.channels);
  C *const dbeta = dynamic_shared<C>(), *const dgamma = dbeta + n;
  T* const gamma = reinterpret_cast<T*>(dgamma + n);
  const Index first = Index(blockIdx.x) * strip;
  const int all = int(a.rows - first < strip ? a.rows - first : strip);
  for (int i = int(threadIdx.x); i < all; i += strip_threads) means[i] = a.mean[first + i], rstds[i] = a.rstd[first + i];
  for (int c = thread; c < n; c += stride) {
    C zeros[V] = {}, ones[V];
    for (int v = 0; v < V; ++v) ones[v] = 1;
    write_pack(dbeta + c, zeros), write_pack(dgamma + c, zeros);
    if (a.gamma) put_pack(gamma + c, load_pack<V>(static_cast<const T*>(a.gamma) + c));
    else store_pack(gamma + c, ones);
  }
  __syncthreads();
  for (int row = 0; row < all; ++row) {
    const Index begin = (first + row) * n;
    const int mine = V == 1 ? thread - int(begin % 32) : thread;
    const auto has = [&](int k) { return unsigned(mine + k * stride) < unsigned(n); };
    const T *const x = static_cast<const T*>(a.x) + begin, *const g = static_cast<const T*>(a.g) + begin;
    Pack<T, V> xs[K], gs[K];
#pragma unroll
    for (int k = 0; k < K; ++k)
      if (has(k)) xs[k] = load_pack<V>(x + mine + k * stride), gs[k] = load_pack<V>(g + mine + k * stride);
    const RowNorm<C> norm(means[row], rstds[row]);
    double m[2] = {};  // 1. of γ g and γ g x̂ over the row
#pragma unroll
    for (int k = 0; k < K; ++k) {
      __syncwarp();  // one pack after the other: nvcc would have all of their sums in registers
      if (!has(k)) continue;
      const int c = mine + k * stride;
      C t[V], d[V], scale[V], b[V], e[V], s[2] = {};
      unpack(xs[k], t), unpack(gs[k], d), unpack(load_pack<V>(gamma + c), scale);
      read_pack(dbeta + c, b), read_pack(dgamma + c, e);
      for (int v = 0; v < V; ++v) {
        const C normal = std::fma(t[v] - norm.near, norm.r, norm.shift);
        b[v] += d[v];
        e[v] = std::fma(d[v], normal, e[v]);
        s[0] += d[v] * scale[v];
        s[1] = std::fma(d[v] * scale[v], normal, s[1]);
      }
      write_pack(dbeta + c, b), write_pack(dgamma + c, e);
      m[0] += double(s[0]), m[1] += double(s[1]);
    }
    team_fold<strip_threads>(m, Add{});  // and the next row's threads find these sums
    const C slant = norm.u(m[1] / n), level = norm.v(m[0] / n, m[1] / n);
#pragma unroll
    for (int k = 0; k < K; ++k) {  // 2. dx
      __syncwarp();
      if (!has(k)) continue;
      const int c = mine + k * stride;
      C t[V], d[V], scale[V];
      unpack(xs[k], t), unpack(gs[k], d), unpack(load_pack<V>(gamma + c), scale);
      for (int v = 0; v < V; ++v) d[v] = std::fma(d[v] * scale[v], norm.r, std::fma(t[v] - norm.near, slant, level));
      store_pack(static_cast<T*>(a.dx) + begin + c, d);
    }
  }
  __syncthreads();
  for (int c = thread; c < n; c += stride) {  // 3. the strip's share, or dβ and dγ themselves
    C b[V], e[V];
    read_pack(dbeta + c, b), read_pack(dgamma + c, e);
    if (gridDim.x > 1) {
      C* const to = parts + Index(blockIdx.x) * 2 * n + c;
      write_pack(to, b), write_pack(to + n, e);
    } else {
      if (a.dbeta) store_pack(static_cast<T*>(a.dbeta) + c, b);
      if (a.dgamma) store_pack(static_cast<T*>(a.dgamma) + c, e);
    }
  }
}

// The same in two kernels where registers or shared memory do not hold a row.
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

}  // namespace

void layer_norm_grad(const Context& ctx, DType dtype, const LayerNormGradArgs& a) {
  if (a.channels == 0) return;
  visit_floats("layer_norm_grad", dtype, [&]<class T>(std::type_identity<T>) {
    if (a.rows == 0) return weight_gradients<T, double>(ctx, 0, a.channels, nullptr, a.dgamma, a.dbeta);
    const bool wide = wide_rows<T>(a.channels, a.x, a.g, a.dx, a.gamma, a.dgamma, a.dbeta) && worth_packs(std::size_t(a.channels) * sizeof(T));
    visit_pack<T>(wide, [&](auto pack) {
      constexpr int V = decltype(pack)::value, U = V == 1 ? 1 : sum_pack<T>, most_kept = V > 1 ? 8 : sizeof(T) == 8 ? 16 : 32;  // packs of a row, in 32 registers
      const Index packs = a.channels / V, units = V == 1 ? a.channels + 31 : a.channels / U;
      const std::size_t shared = std::size_t(a.channels) * (2 * sizeof(Compute<T>) + sizeof(T));
      const bool by_strips = packs <= strip_threads;
      const bool by_blocks = !by_strips && units <= most_kept * strip_threads && shared + 4096 <= limits().shared_per_block;
      // A strip costs γ and four numbers in C a channel (its shares of dγ and dβ, out and in again), its rows x, g and dx: as many strips as
      // make the former 8 % of the latter, 4 % where rows' ends fill no sectors, if a large GPU has not its fill before.
      const Index of_rows = a.rows * (a.channels * Index(sizeof(T)) % 32 ? 3 : 6), most = std::max<Index>(of_rows / (25 * (1 + 4 * Index(sizeof(Compute<T>) / sizeof(T)))), 1);
      const int strip = int(std::clamp<Index>(ceil_div(a.rows, 4 * 132), ceil_div(a.rows, most), most_strip));
      const Index strips = ceil_div(a.rows, strip);
      const bool alone = (by_strips || by_blocks) && strips == 1;
      const Workspace memory(ctx, alone ? 0 : std::size_t(strips * 2 * a.channels) * sizeof(Compute<T>), "layer_norm_grad");
      Compute<T>* const parts = memory.as<Compute<T>>();  // [strips, 2, channels]
      const auto blocks = [&]<int K>(std::integral_constant<int, K>) {
        launch(ctx.stream, {"layer_norm_grad_blocks", blocks_along_x(strips), {strip_threads}, shared}, layer_norm_grad_blocks<T, U, K>, a, strip, parts);
      };
      if (by_strips) {
        const int team = int(ceil_div(packs, 32) * 32), teams = int(std::min<Index>(strip_threads / team, ceil_div(strip, strip_rows)));
        const std::size_t spans = V == 1 ? 2 * std::size_t(teams * strip_rows * a.channels) * sizeof(T) : 0;
        const LaunchPlan plan{"layer_norm_grad_strips", blocks_along_x(strips), {unsigned(team * teams)}, spans};
        launch(ctx.stream, plan, layer_norm_grad_strips<T, V>, a, strip, team, parts);
      } else if (by_blocks && units <= 2 * strip_threads) {
        blocks(std::integral_constant<int, 2>{});
      } else if (by_blocks) {
        blocks(std::integral_constant<int, most_kept>{});
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
