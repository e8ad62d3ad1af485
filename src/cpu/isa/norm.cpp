#include "cpu/norm.hpp"

#include "cpu/isa/each_pack.hpp"
#include "cpu/parallel.hpp"
#include "cpu/simd_math.hpp"

namespace sspo::cpu::SSPO_ISA {
namespace {

constexpr Index chunk_elements = 32768;  // a task's share of x: stays in L2 between the two times it is read
constexpr Index row_block = 8;           // rows summed in registers before a sum in memory is touched

inline Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }
inline Index least(Index a, Index b) { return a < b ? a : b; }

inline double value(bf16 x) { return to_float(x); }
inline double value(float x) { return x; }
inline double value(double x) { return x; }
template <class T> inline void put(double v, T& to) {
  if constexpr (sizeof(T) == 2) to = T(float(v));
  else to = T(v);
}
template <class T> inline double at(const void* p, Index i, double otherwise) {
  return p ? value(static_cast<const T*>(p)[i]) : otherwise;
}

// How the positions of a sample are cut. A sample that fits a chunk is one task from its first read to its last.
struct Cut {
  Index rows, chunks;  // positions a chunk, chunks a sample
  Cut(Index positions, Index channels) {
    rows = chunk_elements / (channels > 0 ? channels : 1) / row_block * row_block;
    if (rows < row_block) rows = row_block;
    chunks = ceil_div(positions, rows);
  }
};

// body(row, rows) over [first, last): four rows share one visit to the coefficients of a channel.
template <class F>
inline void each_row_group(Index first, Index last, F&& body) {
  for (; first + 4 <= last; first += 4) body(first, std::integral_constant<Index, 4>{});
  for (; first < last; ++first) body(first, std::integral_constant<Index, 1>{});
}

// --- group norm, forward ----------------------------------------------------------------------
// 1. per chunk and channel: S = Σ (x - x₀), Q = Σ (x - x₀)² in C, x₀ = the chunk's first position; then, in f64,
//    moved to the sample's first position, so that chunks add up. As x₀ is one of the n values, (x₀ - μ)² is at
//    most n σ²: no constant, offset or outlier makes Q - S²/n cancel worse than that.
// 2. per sample: the channels' means and squares merged into μ, r of each group (Chan et al. 1979), and from
//    them per channel   near = μ in C,   a = γ r,   b = β - (μ - near) a
// 3. y = act((x - near) a + b)
// Owns:  1 and 3: task = one chunk.  2: task = one sample.
// Costs: x read twice, once from L2 where a sample fits; y written once. 6 FLOPs an element, + 22 for silu.
template <class T, class C>
struct GroupNorm {
  const GroupNormArgs& args;
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  const Index P = args.positions, K = args.channels;

  // near_sums [2, K]: scratch; sums [2, K]: S, then Q, about the sample's first position
  void sum(Index sample, Index first, Index last, C* near_sums, double* sums) const {
    const T *origin = x + sample * P * K, *own_origin = origin + first * K;
    C *S = near_sums, *Q = near_sums + K;
    for (Index i = 0; i < 2 * K; ++i) near_sums[i] = 0;
    const auto add_rows = [&](const T* block, auto rows) {
      each_pack<C>(K, [&](Index c, auto lanes) {
        const Pack<C> x0 = load<C>(own_origin + c, lanes);
        Pack<C> s = C(0), q = C(0);
        for (Index r = 0; r < rows; ++r) {
          const Pack<C> t = load<C>(block + r * K + c, lanes) - x0;
          s += t;
          q = fma(t, t, q);
        }
        store(load<C>(S + c, lanes) + s, S + c, lanes);
        store(load<C>(Q + c, lanes) + q, Q + c, lanes);
      });
    };
    Index p = first;
    for (; p + row_block <= last; p += row_block) add_rows(origin + p * K, std::integral_constant<Index, row_block>{});
    if (p < last) add_rows(origin + p * K, last - p);
    const double n = double(last - first);
    for (Index c = 0; c < K; ++c) {
      const double moved = value(own_origin[c]) - value(origin[c]), s = double(S[c]);
      sums[c] = s + n * moved;
      sums[K + c] = double(Q[c]) + moved * (2 * s + n * moved);
    }
  }

  // sums [2, K] of the whole sample; plan [3, K]: near, a, b
  void finish(Index sample, const double* sums, C* plan) const {
    const Index G = args.groups, size = K / G;
    const T* origin = x + sample * P * K;
    for (Index g = 0; g < G; ++g) {
      const Index c0 = g * size, c1 = c0 + size;
      const double base = value(origin[c0]), count = double(P), share = 1 / count;
      double offset = 0, squares = 0;
      for (Index c = c0; c < c1; ++c) offset += (value(origin[c]) - base) + sums[c] * share;
      offset /= double(size);
      for (Index c = c0; c < c1; ++c) {
        const double own = sums[c] * share, away = (value(origin[c]) - base) + own - offset;
        const double inside = sums[K + c] - sums[c] * own;
        squares += (inside > 0 || inside != inside ? inside : 0) + count * away * away;
      }
      const double mean = base + offset, rstd = 1 / __builtin_sqrt(squares / (count * double(size)) + args.eps);
      args.mean[sample * G + g] = mean;
      args.rstd[sample * G + g] = rstd;
      for (Index c = c0; c < c1; ++c) {
        const double a = at<T>(args.gamma, c, 1) * rstd;
        plan[c] = C(mean);
        plan[K + c] = C(a);
        plan[2 * K + c] = C(at<T>(args.beta, c, 0) - (mean - double(C(mean))) * a);
      }
    }
  }

  template <bool silu_too>
  void write(Index sample, Index first, Index last, const C* plan) const {
    const C *near = plan, *a = plan + K, *b = plan + 2 * K;
    each_row_group(first, last, [&](Index p, auto rows) {
      const Index begin = (sample * P + p) * K;
      each_pack<C>(K, [&](Index c, auto lanes) {
        const Pack<C> m = load<C>(near + c, lanes), scale = load<C>(a + c, lanes), shift = load<C>(b + c, lanes);
        for (Index r = 0; r < rows; ++r) {
          const Index i = begin + r * K + c;
          const Pack<C> z = fma(load<C>(x + i, lanes) - m, scale, shift);
          store(silu_too ? silu(z) : z, y + i, lanes);
        }
      });
    });
  }
  void write(Index sample, Index first, Index last, const C* plan) const {
    args.silu ? write<true>(sample, first, last, plan) : write<false>(sample, first, last, plan);
  }
};

template <class T, class C>
void group_norm(const Context& ctx, const GroupNormArgs& args) {
  const Index B = args.batch, P = args.positions, K = args.channels;
  if (B * P * K == 0) return;
  const GroupNorm<T, C> norm{args};
  const Cut cut(P, K);
  const Index n = cut.chunks, tasks = B * n;
  const std::size_t near_bytes = std::size_t(2 * K) * sizeof(C) / 64 * 64 + 64;  // a worker's
  Workspace w(ctx, near_bytes * std::size_t(ctx.threads) + std::size_t(tasks * 2 * K) * sizeof(double) + std::size_t(B * 3 * K) * sizeof(C));
  double* sums = reinterpret_cast<double*>(w.as<char>() + near_bytes * std::size_t(ctx.threads));  // [B, chunks, 2, K]
  C* plan = reinterpret_cast<C*>(sums + tasks * 2 * K);                                            // [B, 3, K]
  const auto near_sums = [&](int worker) { return reinterpret_cast<C*>(w.as<char>() + near_bytes * std::size_t(worker)); };
  if (n == 1) {
    parallel_for(ctx, B, [&](Index sample, int worker) {
      norm.sum(sample, 0, P, near_sums(worker), sums + sample * 2 * K);
      norm.finish(sample, sums + sample * 2 * K, plan + sample * 3 * K);
      norm.write(sample, 0, P, plan + sample * 3 * K);
    });
    return;
  }
  parallel_for(ctx, tasks, [&](Index t, int worker) {
    const Index first = t % n * cut.rows;
    norm.sum(t / n, first, least(P, first + cut.rows), near_sums(worker), sums + t * 2 * K);
  });
  parallel_for(ctx, B, [&](Index sample, int) {
    double* total = sums + sample * n * 2 * K;
    for (Index k = 1; k < n; ++k)
      for (Index i = 0; i < 2 * K; ++i) total[i] += total[k * 2 * K + i];
    norm.finish(sample, total, plan + sample * 3 * K);
  });
  parallel_for(ctx, tasks, [&](Index t, int) {
    const Index first = t % n * cut.rows;
    norm.write(t / n, first, least(P, first + cut.rows), plan + t / n * 3 * K);
  });
}

// --- group norm, backward ---------------------------------------------------------------------
// With t = x - near, z = t a + b as above and d = dL/dz = g, or g silu'(z):
//   dβ = Σ d    dγ = Σ d x̂    dx = r (γ d - m₁ - x̂ m₂)    m₁, m₂ = the group's means of γ d and γ d x̂
// 1. per chunk and channel: A = Σ d, E = Σ d t; d stays in dx where it was not free (silu) and T holds it
// 2. per sample: x̂ = r (t - (μ - near)) turns E into Σ d x̂;  m₁, m₂;  per channel  dx = a d + u t + v
// 3. dx, from x and d (or g) again;  dγ, dβ: samples added in order
// Owns:  1 and 3: task = one chunk.  2: task = one sample.
// Costs: x and g read twice, dx written once, with silu twice. 11 FLOPs an element, + 25 for silu, twice that in bf16.
template <class T, class C>
struct GroupNormGrad {
  const GroupNormGradArgs& args;
  const T* x = static_cast<const T*>(args.x);
  const T* g = static_cast<const T*>(args.g);
  T* dx = static_cast<T*>(args.dx);
  const Index P = args.positions, K = args.channels;
  static constexpr int plan_rows = 5;  // near, a, b, u, v: [plan_rows, K]

  void prepare(Index sample, C* plan) const {
    const Index G = args.groups, size = K / G;
    for (Index j = 0; j < G; ++j) {
      const double mean = args.mean[sample * G + j], rstd = args.rstd[sample * G + j];
      for (Index c = j * size; c < (j + 1) * size; ++c) {
        const double a = at<T>(args.gamma, c, 1) * rstd;
        plan[c] = C(mean);
        plan[K + c] = C(a);
        plan[2 * K + c] = C(at<T>(args.beta, c, 0) - (mean - double(C(mean))) * a);
      }
    }
  }

  template <bool silu_too>
  static Pack<C> slope(Pack<C> z, Pack<C> g) { return silu_too ? g * silu_slope(z) : g; }
  static constexpr bool keeps_d = std::is_same_v<T, C>;

  // sums [2, K]: A, then E
  template <bool silu_too>
  void sum(Index sample, Index first, Index last, const C* plan, C* sums) const {
    C *sum_d = sums, *sum_dt = sums + K;
    for (Index i = 0; i < 2 * K; ++i) sums[i] = 0;
    const auto add_rows = [&](Index begin, auto rows) {
      each_pack<C>(K, [&](Index c, auto lanes) {
        const Pack<C> near = load<C>(plan + c, lanes), a = load<C>(plan + K + c, lanes), b = load<C>(plan + 2 * K + c, lanes);
        Pack<C> A = C(0), E = C(0);
        for (Index r = 0; r < rows; ++r) {
          const Pack<C> t = load<C>(x + begin + r * K + c, lanes) - near;
          const Pack<C> d = slope<silu_too>(fma(t, a, b), load<C>(g + begin + r * K + c, lanes));
          if constexpr (silu_too && keeps_d) store(d, dx + begin + r * K + c, lanes);
          A += d;
          E = fma(d, t, E);
        }
        store(load<C>(sum_d + c, lanes) + A, sum_d + c, lanes);
        store(load<C>(sum_dt + c, lanes) + E, sum_dt + c, lanes);
      });
    };
    Index p = first;
    for (; p + row_block <= last; p += row_block) add_rows((sample * P + p) * K, std::integral_constant<Index, row_block>{});
    if (p < last) add_rows((sample * P + p) * K, last - p);
  }

  // parts [chunks, 2, K] of the sample; totals [2, K]: Σ d, Σ d x̂; fills u, v of the plan
  void finish(Index sample, const C* parts, Index chunks, double* totals, C* plan) const {
    const Index G = args.groups, size = K / G;
    for (Index i = 0; i < 2 * K; ++i) totals[i] = double(parts[i]);
    for (Index k = 1; k < chunks; ++k)
      for (Index i = 0; i < 2 * K; ++i) totals[i] += double(parts[k * 2 * K + i]);
    for (Index j = 0; j < G; ++j) {
      const double mean = args.mean[sample * G + j], r = args.rstd[sample * G + j], far = mean - double(C(mean));
      double m1 = 0, m2 = 0;
      for (Index c = j * size; c < (j + 1) * size; ++c) {
        totals[K + c] = r * (totals[K + c] - far * totals[c]);
        const double gamma = at<T>(args.gamma, c, 1);
        m1 += gamma * totals[c];
        m2 += gamma * totals[K + c];
      }
      m1 /= double(P * size);
      m2 /= double(P * size);
      for (Index c = j * size; c < (j + 1) * size; ++c) {
        plan[3 * K + c] = C(-r * r * m2);
        plan[4 * K + c] = C(-r * (m1 - r * far * m2));
      }
    }
  }

  template <bool silu_too>
  void write(Index sample, Index first, Index last, const C* plan) const {
    const C *near = plan, *scale = plan + K, *b = plan + 2 * K, *u = plan + 3 * K, *v = plan + 4 * K;
    constexpr bool kept = silu_too && keeps_d;
    each_row_group(first, last, [&](Index p, auto rows) {
      const Index begin = (sample * P + p) * K;
      const T* from = kept ? dx : g;
      each_pack<C>(K, [&](Index c, auto lanes) {
        const Pack<C> m = load<C>(near + c, lanes), a = load<C>(scale + c, lanes), shift = load<C>(b + c, lanes);
        const Pack<C> slant = load<C>(u + c, lanes), level = load<C>(v + c, lanes);
        for (Index r = 0; r < rows; ++r) {
          const Index i = begin + r * K + c;
          const Pack<C> t = load<C>(x + i, lanes) - m;
          Pack<C> d = load<C>(from + i, lanes);
          if constexpr (!kept) d = slope<silu_too>(fma(t, a, shift), d);
          store(fma(d, a, fma(t, slant, level)), dx + i, lanes);
        }
      });
    });
  }
};

template <class T, class C, bool silu_too>
void group_norm_grad_of(const Context& ctx, const GroupNormGradArgs& args) {
  using Grad = GroupNormGrad<T, C>;
  const Index B = args.batch, P = args.positions, K = args.channels;
  const Grad grad{args};
  const Cut cut(P, K);
  const Index n = cut.chunks, tasks = B * n, plan_size = Grad::plan_rows * K;
  Workspace w(ctx, std::size_t(B * 2 * K) * sizeof(double) + std::size_t(tasks * 2 * K + B * plan_size) * sizeof(C));
  double* totals = w.as<double>();                          // [B, 2, K]
  C* parts = reinterpret_cast<C*>(totals + B * 2 * K);      // [B, chunks, 2, K]
  C* plans = parts + tasks * 2 * K;                         // [B, plan_rows, K]
  if (n == 1) {
    parallel_for(ctx, B, [&](Index b, int) {
      C *plan = plans + b * plan_size, *part = parts + b * 2 * K;
      grad.prepare(b, plan);
      grad.template sum<silu_too>(b, 0, P, plan, part);
      grad.finish(b, part, 1, totals + b * 2 * K, plan);
      grad.template write<silu_too>(b, 0, P, plan);
    });
  } else if (B * P * K > 0) {
    parallel_for(ctx, B, [&](Index b, int) { grad.prepare(b, plans + b * plan_size); });
    parallel_for(ctx, tasks, [&](Index t, int) {
      const Index first = t % n * cut.rows;
      grad.template sum<silu_too>(t / n, first, least(P, first + cut.rows), plans + t / n * plan_size, parts + t * 2 * K);
    });
    parallel_for(ctx, B, [&](Index b, int) {
      grad.finish(b, parts + b * n * 2 * K, n, totals + b * 2 * K, plans + b * plan_size);
    });
    parallel_for(ctx, tasks, [&](Index t, int) {
      const Index first = t % n * cut.rows;
      grad.template write<silu_too>(t / n, first, least(P, first + cut.rows), plans + t / n * plan_size);
    });
  }
  const bool any_position = B * P > 0;
  for (Index b = 1; any_position && b < B; ++b)
    for (Index i = 0; i < 2 * K; ++i) totals[i] += totals[b * 2 * K + i];
  for (int which = 0; which < 2; ++which) {
    T* out = static_cast<T*>(which == 0 ? args.dbeta : args.dgamma);
    for (Index c = 0; out && c < K; ++c) put(any_position ? totals[which * K + c] : 0.0, out[c]);
  }
}
template <class T, class C>
void group_norm_grad(const Context& ctx, const GroupNormGradArgs& args) {
  args.silu ? group_norm_grad_of<T, C, true>(ctx, args) : group_norm_grad_of<T, C, false>(ctx, args);
}

// --- layer norm -------------------------------------------------------------------------------
// S = Σ (x - x₀), Q = Σ (x - x₀)² in C, over runs of fixed length; μ = x₀ + S/n, σ² = Q/n - (S/n)². As for group
// norm, x₀ is one of the n values and (x₀ - μ)² at most n σ².
// Owns:  task = a block of rows; a row stays in L1 over the two times it is read.
// Costs: x read, y written once. 6 FLOPs an element.
constexpr Index run = 2048;  // elements summed in C before the sum goes to f64

template <class C, class F>
inline void sum_runs(Index n, F&& body) {  // body(first, count) for each run
  for (Index i = 0; i < n; i += run) body(i, least(run, n - i));
}

template <class T, class C>
void layer_norm(const Context& ctx, const LayerNormArgs& args) {
  using P = Pack<C>;
  const Index K = args.channels, R = args.rows;
  if (R * K == 0) return;
  const Index rows = chunk_elements / 2 / K > 1 ? chunk_elements / 2 / K : 1;
  Workspace w(ctx, std::size_t(2 * K) * sizeof(C));
  C *gamma = w.as<C>(), *beta = gamma + K;
  for (Index c = 0; c < K; ++c) { gamma[c] = C(at<T>(args.gamma, c, 1)); beta[c] = C(at<T>(args.beta, c, 0)); }
  parallel_for(ctx, ceil_div(R, rows), [&](Index task, int) {
    for (Index row = task * rows; row < least(R, (task + 1) * rows); ++row) {
      const T* x = static_cast<const T*>(args.x) + row * K;
      T* y = static_cast<T*>(args.y) + row * K;
      const P x0 = C(value(x[0]));
      double S = 0, Q = 0;
      sum_runs<C>(K, [&](Index first, Index n) {
        P s[4] = {C(0), C(0), C(0), C(0)}, q[4] = {C(0), C(0), C(0), C(0)};
        each_pack_chained<C, 4>(n, [&](Index i, auto lanes, auto k) {
          const P t = only<C>(load<C>(x + first + i, lanes) - x0, lanes);
          s[k] += t;
          q[k] = fma(t, t, q[k]);
        });
        S += double(reduce_add((s[0] + s[1]) + (s[2] + s[3])));
        Q += double(reduce_add((q[0] + q[1]) + (q[2] + q[3])));
      });
      const double offset = S / double(K), variance = Q / double(K) - offset * offset, mean = value(x[0]) + offset;
      const double rstd = 1 / __builtin_sqrt((variance > 0 || variance != variance ? variance : 0) + args.eps);
      const C near = C(mean);
      args.mean[row] = mean;
      args.rstd[row] = rstd;
      const double e = mean - double(near);
      const P r = C(rstd), shift = C(-e * rstd);
      each_pack<C>(K, [&](Index c, auto lanes) {
        const P normal = fma(load<C>(x + c, lanes) - P(near), r, shift);
        store(fma(normal, load<C>(gamma + c, lanes), load<C>(beta + c, lanes)), y + c, lanes);
      });
    }
  });
}

// dx = r (γ g - m₁ - x̂ m₂), m₁, m₂ the row's means of γ g and γ g x̂;  dγ = Σ g x̂,  dβ = Σ g over rows
// Owns:  task = a block of rows and its share of dγ, dβ; the shares are then added in order, in f64.
// Costs: x and g read once from memory, dx written once. 16 FLOPs an element.
template <class T, class C>
void layer_norm_grad(const Context& ctx, const LayerNormGradArgs& args) {
  using P = Pack<C>;
  constexpr Index together = 4;  // rows that share one visit to the sums of dγ and dβ
  const Index K = args.channels, R = args.rows;
  if (K == 0) return;
  Index rows = chunk_elements / K / together * together;
  if (rows < together) rows = together;
  const Index tasks = ceil_div(R, rows);
  Workspace w(ctx, std::size_t(K + tasks * 2 * K) * sizeof(C));
  C *gamma = w.as<C>(), *parts = gamma + K;                 // [tasks, 2, K]: dβ, dγ
  for (Index c = 0; c < K; ++c) gamma[c] = C(at<T>(args.gamma, c, 1));
  parallel_for(ctx, tasks, [&](Index task, int) {
    C *dbeta = parts + task * 2 * K, *dgamma = dbeta + K;
    for (Index i = 0; i < 2 * K; ++i) dbeta[i] = 0;
    const Index last = least(R, (task + 1) * rows);
    for (Index row = task * rows; row < last; row += together) {
      const T* x = static_cast<const T*>(args.x) + row * K;
      const T* g = static_cast<const T*>(args.g) + row * K;
      T* dx = static_cast<T*>(args.dx) + row * K;
      const auto pass = [&](auto count) {
        constexpr int N = decltype(count)::value;
        P near[N], r[N], shift[N], s1[N], s2[N];
        double m1[N] = {}, m2[N] = {};
        for (int k = 0; k < N; ++k) {
          const double mean = args.mean[row + k], rstd = args.rstd[row + k];
          near[k] = C(mean);
          r[k] = C(rstd);
          shift[k] = C((double(C(mean)) - mean) * rstd);
        }
        sum_runs<C>(K, [&](Index first, Index n) {
          for (int k = 0; k < N; ++k) s1[k] = s2[k] = C(0);
          each_pack<C>(n, [&](Index i, auto lanes) {
            const Index c = first + i;
            const P ga = load<C>(gamma + c, lanes);
            P db = load<C>(dbeta + c, lanes), dg = load<C>(dgamma + c, lanes);
            for (int k = 0; k < N; ++k) {
              const P v = load<C>(g + k * K + c, lanes);
              const P normal = fma(load<C>(x + k * K + c, lanes) - near[k], r[k], shift[k]);
              const P d = v * ga;  // 0 in missing lanes
              db += v;
              dg = fma(v, normal, dg);
              s1[k] += d;
              s2[k] = fma(d, normal, s2[k]);
            }
            store(db, dbeta + c, lanes);
            store(dg, dgamma + c, lanes);
          });
          for (int k = 0; k < N; ++k) { m1[k] += double(reduce_add(s1[k])); m2[k] += double(reduce_add(s2[k])); }
        });
        for (int k = 0; k < N; ++k) {
          // r (γ g - m₁ - x̂ m₂) with x̂ = t r + shift
          const double rstd = args.rstd[row + k], far = args.mean[row + k] - double(C(args.mean[row + k]));
          const double a1 = m1[k] / double(K), a2 = m2[k] / double(K);
          const P u = C(-rstd * rstd * a2), v = C(-rstd * (a1 - rstd * far * a2));
          each_pack<C>(K, [&](Index c, auto lanes) {
            const P t = load<C>(x + k * K + c, lanes) - near[k];
            const P d = load<C>(g + k * K + c, lanes) * load<C>(gamma + c, lanes);
            store(fma(d, r[k], fma(t, u, v)), dx + k * K + c, lanes);
          });
        }
      };
      if (row + together <= last) pass(std::integral_constant<int, together>{});
      else
        for (; row < last; ++row, x += K, g += K, dx += K) pass(std::integral_constant<int, 1>{});
    }
  });
  T *dgamma = static_cast<T*>(args.dgamma), *dbeta = static_cast<T*>(args.dbeta);
  const Index columns = 256;
  parallel_for(ctx, dgamma || dbeta ? ceil_div(K, columns) : 0, [&](Index task, int) {
    double sums[2][columns] = {};
    const Index first = task * columns, n = least(columns, K - first);
    for (Index t = 0; t < tasks; ++t)
      for (int which = 0; which < 2; ++which) {
        const C* part = parts + (2 * t + which) * K + first;
        for (Index i = 0; i < n; ++i) sums[which][i] += double(part[i]);
      }
    for (Index i = 0; i < n; ++i) {
      if (dbeta) put(sums[0][i], dbeta[first + i]);
      if (dgamma) put(sums[1][i], dgamma[first + i]);
    }
  });
}

template <class T, class C>
constexpr NormOf norm_of = {group_norm<T, C>, group_norm_grad<T, C>, layer_norm<T, C>, layer_norm_grad<T, C>};

}  // namespace

extern const NormKernels norm_table;
const NormKernels norm_table = {norm_of<float, float>, norm_of<double, double>, norm_of<bf16, float>};

}  // namespace sspo::cpu::SSPO_ISA
