#include "norm.hpp"

#include <algorithm>

#include "blocks.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

using kernels::LayerNormArgs;

namespace {

// y = γ (x - μ) r + β, each row its own                                                            Ba et al. 2016
// 1. near = x0 + Σ (x - x0) / n in C   2. μ and σ² from t = x - near, as for group norm   3. y
// A block's rows share one reading of γ and β; their statistics go out together.
constexpr int most_rows = 16, most_odd_rows = 24;  // a block's; of rows whose ends fill no sectors

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
template <int TEAM> constexpr int rows_block = TEAM == 32 ? row_threads : TEAM;
template <class C, int V> SSPO_DEVICE void normalise(const C (&x)[V], C near, C r, C shift, const C (&scale)[V], const C (&level)[V], C (&y)[V]) {
  for (int v = 0; v < V; ++v) y[v] = std::fma(std::fma(x[v] - near, r, shift), scale[v], level[v]);
}

// Owns:  block = `rows_each` rows; team = one of them at a time: a warp, or the block for long rows; thread = every TEAM-th pack.
// Costs: x read once where K > 0 (the row stays in registers), else three times; y written once; γ and β once a block, or a row.
// Needs: γ and β in shared memory where K > 0. Rows that packs do not fit (V = 1) begin anywhere in a sector: short ones, a team's of 32, go
//        by way of shared memory, all of the block's in one span; in long ones, lanes count from where the sector starts.
template <class T, int V, int TEAM, int K> __global__ void __launch_bounds__(rows_block<TEAM>) layer_norm_rows(LayerNormArgs a, int rows_each) {
  using C = Compute<T>;
  constexpr int threads = rows_block<TEAM>;
  SSPO_SHARED(double, means, [most_odd_rows]);
  SSPO_SHARED(double, rstds, [most_odd_rows]);
  const Index n = a.channels, first = Index(blockIdx.x) * rows_each;
  const int rows = int(a.rows - first < rows_each ? a.rows - first : rows_each), thread = int(threadIdx.x) % TEAM;
  const T *gamma = static_cast<const T*>(a.gamma), *beta = static_cast<const T*>(a.beta);
  constexpr bool spans = V == 1 && TEAM == 32;
  T* const span = dynamic_shared<T>() + 2 * n;  // [rows, n]
  if constexpr (K > 0) {
    T* const kept = dynamic_shared<T>();  // [2, n]
    for (Index c = Index(threadIdx.x) * V; c < n; c += threads * V) {
      if (gamma) put_pack(kept + c, load_pack<V>(gamma + c));
      if (beta) put_pack(kept + n + c, load_pack<V>(beta + c));
    }
    gamma = kept, beta = kept + n;
    if (spans) copy_span(span, static_cast<const T*>(a.x) + first * n, rows * int(n), int(first * n % 32));
    __syncthreads();
  }
  for (int i = int(threadIdx.x) / TEAM; i < rows; i += threads / TEAM) {
    const Index begin = (first + i) * n;
    const T* const from = spans ? span + i * n : static_cast<const T*>(a.x) + begin;
    const Row<T, V, TEAM, K> x(from, n / V, V == 1 && K > 0 && !spans ? thread - int(begin % 32) : thread);
    C x0;
    if constexpr (TEAM == 32) {
      x0 = x.first();
    } else {  // one thread has it, in its place until the mean is known
      if (x.member == 0) means[i] = double(x.first());
      __syncthreads();
      x0 = C(means[i]);
    }
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
    if (thread == 0) means[i] = double(near) + offset, rstds[i] = rstd;
    T* const y = spans ? span + i * n : static_cast<T*>(a.y) + begin;
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
  if (spans) copy_span(static_cast<T*>(a.y) + first * n, span, rows * int(n), int(first * n % 32));
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

void layer_norm(const Context& ctx, DType dtype, const LayerNormArgs& a) {
  if (a.rows * a.channels == 0) return;
  visit_floats("layer_norm", dtype, [&]<class T>(std::type_identity<T>) {
    const bool wide = wide_rows<T>(a.channels, a.x, a.y, a.gamma, a.beta) && worth_packs(std::size_t(a.channels) * sizeof(T));
    visit_pack<T>(wide, [&](auto pack) {
      constexpr int V = decltype(pack)::value, W = strip_threads;
      const auto by_rows = [&]<int TEAM, int K>(std::integral_constant<int, TEAM>, std::integral_constant<int, K>) {
        const bool odd = std::size_t(a.channels) * sizeof(T) % 32 != 0;
        // Without a place for γ and β each row reads them, so that a block may as well take fewer where rows are few.
        const Index blocks = ceil_div(a.rows, K == 0 ? std::clamp<Index>(a.rows / 64, 1, most_rows) : odd ? most_odd_rows : most_rows), rows_each = ceil_div(a.rows, blocks);
        const std::size_t shared = K > 0 ? std::size_t((2 + (V == 1 && TEAM == 32 ? rows_each : 0)) * a.channels) * sizeof(T) : 0;
        const LaunchPlan plan{"layer_norm_rows", blocks_along_x(ceil_div(a.rows, rows_each)), {unsigned(rows_block<TEAM>)}, shared};
        launch(ctx.stream, plan, layer_norm_rows<T, V, TEAM, K>, a, int(rows_each));
      };
      const std::integral_constant<int, 32> warp;
      const std::integral_constant<int, W> block;
      const std::integral_constant<int, (V > 1 ? 8 : sizeof(T) == 8 ? 16 : 32)> most;  // packs of a thread: 32 registers
      const auto fits = [&](int rows) { return std::size_t(rows * a.channels) * sizeof(T) + 4096 <= limits().shared_per_block; };
      const Index packs = a.channels / V;
      if (packs <= 32 * 2) return by_rows(warp, std::integral_constant<int, 2>{});
      if constexpr (V == 1) {
        if (packs <= 32 * 16 && fits(2 + most_odd_rows)) return by_rows(warp, std::integral_constant<int, 16>{});
        if (packs + 31 <= W * 4) return by_rows(block, std::integral_constant<int, 4>{});
        if (packs + 31 <= W * most && fits(2)) return by_rows(block, most);
      } else {
        if (packs <= 32 * 8) return by_rows(warp, std::integral_constant<int, 8>{});
        if (packs <= W) {
          const LaunchPlan plan{"layer_norm_strips", blocks_along_x(ceil_div(a.rows, most_rows)), {unsigned(ceil_div(packs, 32) * 32)}};
          return launch(ctx.stream, plan, layer_norm_strips<T, V>, a);
        }
        if (packs <= W * most && fits(2)) return by_rows(block, most);
      }
      by_rows(block, std::integral_constant<int, 0>{});
    });
  });
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
