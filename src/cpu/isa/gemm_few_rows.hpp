// C of a few rows: a time embedding, a single token. B is read once, where it lies, and nothing is packed:
// packing would cost more than the products. Costs k n elements of B from memory, 2 m n k FLOPs.
//
// Owns:  task = some columns; two rows of A at a time pass over them.
//   columns contiguous along k (B = wᵀ)   dot products, four columns side by side
//   columns side by side                  four registers of columns, k by k
#pragma once
#include "cpu/isa/gemm_engine.hpp"

namespace sspo::cpu::SSPO_ISA {

// to[r][j] = Σ_k a[r][k] b[j][k] for R rows and 4 columns
template <int R, class In, class Sum>
inline void four_dots(const Sum* a, Index lda, const In* b, Index line, Index k, Sum (*to)[4 * Pack<Sum>::size]) {
  constexpr int W = Pack<Sum>::size;
  Pack<Sum> acc[R][4];
  unroll<R, 4>([&](auto r, auto j) __attribute__((always_inline)) { acc[r][j] = zero<Sum>(); });
  const auto step = [&](Index i, const auto& load_a, const auto& load_b) __attribute__((always_inline)) {
    Pack<Sum> x[R];
    unroll<R>([&](auto r) __attribute__((always_inline)) { x[r] = load_a(a + r * lda + i); });
    unroll<4>([&](auto j) __attribute__((always_inline)) {
      const Pack<Sum> y = load_b(b + j * line + i);
      unroll<R>([&](auto r) __attribute__((always_inline)) { acc[r][j] = fma(x[r], y, acc[r][j]); });
    });
  };
  Index i = 0;
  for (; i + W <= k; i += W)
    step(i, [](const Sum* p) { return Pack<Sum>::load(p); }, [](const In* p) { return load_as<Sum>(p); });
  if (i < k)
    step(i, [&](const Sum* p) { return Pack<Sum>::load_n(p, k - i); }, [&](const In* p) { return load_as_n<Sum>(p, k - i); });
  unroll<R, 4>([&](auto r, auto j) { to[r][j] = reduce_add(acc[r][j]); });
}

// to[r][j] = Σ_k a[r][k] b[k][j] for R rows and 4 W columns, or the last n < 4 W of them
template <int R, class In, class Sum>
inline void four_columns(const Sum* a, Index lda, const In* b, Index step, Index k, Index n, Sum (*to)[4 * Pack<Sum>::size]) {
  constexpr int W = Pack<Sum>::size;
  Pack<Sum> acc[R][4];
  unroll<R, 4>([&](auto r, auto j) __attribute__((always_inline)) { acc[r][j] = zero<Sum>(); });
  const bool whole = n == 4 * W;
  for (Index i = 0; i < k; ++i, b += step) {
    __builtin_prefetch(b + 16 * step);
    __builtin_prefetch(reinterpret_cast<const char*>(b + 16 * step) + 64);
    unroll<4>([&](auto j) __attribute__((always_inline)) {
      const Index left = n - j * W;
      if (!whole && left <= 0) return;
      const Pack<Sum> y = whole || left >= W ? load_as<Sum>(b + j * W) : load_as_n<Sum>(b + j * W, left);
      unroll<R>([&](auto r) __attribute__((always_inline)) { acc[r][j] = fma(broadcast(a + r * lda + i), y, acc[r][j]); });
    });
  }
  unroll<R, 4>([&](auto r, auto j) { acc[r][j].store(to[r] + j * W); });
}

template <class In, class Out>
inline void multiply_few_rows(const Context& ctx, const Size& s, const Lines<In>& a, const Lines<In>& b,
                              const Rows<Out>& c, const Finish<Out>& f) {
  using Sum = typename Products<In>::Sum;
  constexpr Index W = Pack<Sum>::size, most = 4 * W;
  // 1. A as rows of sums' type.
  const Index lda = round_up(s.k, 64 / sizeof(Sum));
  const Workspace w(ctx, std::size_t(s.batch * s.m * lda) * sizeof(Sum));
  Sum* const rows = reinterpret_cast<Sum*>(w.as<char>());
  for (Index item = 0; item < s.batch; ++item)
    for (Index i = 0; i < s.m; ++i) {
      const In* const from = a.item(item).data + i * a.line;
      for (Index k = 0; k < s.k; ++k) rows[(item * s.m + i) * lda + k] = Sum(widened(from[k * a.step]));
    }
  // 2. The columns.
  const bool dots = b.step == 1;
  const Index block = dots ? 4 : most, at_once = round_up(max(most, 65536 / max(1, s.k)), most);
  const Index pieces = ceil_div(s.n, at_once);
  parallel_for(ctx, s.batch * pieces, [&](Index task, int) {
    const Index item = task / pieces;
    const Range cols = piece(task % pieces, at_once, s.n);
    const Rows<Out> ci = c.item(item);
    const Sum* const ai = rows + item * s.m * lda;
    for (Index j = cols.begin; j < cols.end; j += block) {
      const Index n = min(block, cols.end - j);
      const In* const bj = b.item(item).data + j * b.line;
      for (Index i = 0; i < s.m; i += 2) {
        alignas(64) Sum sum[2][most];
        const bool two = i + 1 < s.m;
        const Sum* const ar = ai + i * lda;
        if (!dots) {
          two ? four_columns<2>(ar, lda, bj, b.step, s.k, n, sum) : four_columns<1>(ar, lda, bj, b.step, s.k, n, sum);
        } else if (n == 4) {
          two ? four_dots<2>(ar, lda, bj, b.line, s.k, sum) : four_dots<1>(ar, lda, bj, b.line, s.k, sum);
        } else {
          for (Index q = 0; q < n; ++q) {  // the last columns: the same one four times over
            Sum one[2][most];
            two ? four_dots<2>(ar, lda, bj + q * b.line, 0, s.k, one) : four_dots<1>(ar, lda, bj + q * b.line, 0, s.k, one);
            sum[0][q] = one[0][0], sum[1][q] = one[1][0];
          }
        }
        for (Index r = 0; r < 1 + two; ++r) {
          Out* const row = ci.row(i + r) + j;
          for (Index q = 0; q < n; ++q) sum[r][q] *= Sum(f.alpha);
          finish_row<Sum, Out>(sum[r], n, f.bias ? f.bias + j : nullptr, f.residual ? f.residual + (row - c.data) : nullptr,
                               f.act, f.accumulate, row);
        }
      }
    }
  });
}

}  // namespace sspo::cpu::SSPO_ISA
