// The inner tile of every product: MR x NR sums held in registers.
//
//   sums[i][j] = Σ_k a[i][k] b[k][j]      a: MR rows, each contiguous along k; b: one panel, NR words for each k
//
// Costs, for each k: MR broadcasts and NV loads for MR NV multiply-adds: arithmetic is the limit.
#pragma once
#include "cpu/isa/gemm_products.hpp"

namespace sspo::cpu::SSPO_ISA {

// f(0), f(1), ..., f(N - 1), each index a constant of the language: the arrays it indexes can live in registers.
template <int i>
struct Constant {
  constexpr operator int() const { return i; }
};
template <int N, class F>
[[gnu::always_inline]] inline void unroll(const F& f) {
  [&]<int... i>(std::integer_sequence<int, i...>) __attribute__((always_inline)) {
    (f(Constant<i>{}), ...);
  }(std::make_integer_sequence<int, N>{});
}
template <int N, int M, class F>
[[gnu::always_inline]] inline void unroll(const F& f) {
  unroll<N>([&](auto i) __attribute__((always_inline)) {
    unroll<M>([&](auto j) __attribute__((always_inline)) { f(i, j); });
  });
}

// Cache lines to bring nearer while a tile computes, `step` bytes apart: one for every four words of k.
struct Ahead {
  const char* line;
  Index step;
};

// A row of A along k: strips of `run` words side by side, `skip` words between one and the next.
struct Strips {
  Index run, skip;
};

// The sums of one tile, `words` words deep.
template <class P, int Rows>
[[gnu::always_inline]] inline void tile_sums(const typename P::Word* const* rows, const typename P::Word* b, Index words,
                                             Strips strips, Ahead next,
                                             Pack<typename P::Sum> (&sums)[Rows][P::NV]) {
  using Word = typename P::Word;
  constexpr int W = Pack<Word>::size, NV = P::NV, NR = P::NR;
  Pack<typename P::Sum> acc[Rows][NV];
  const Word* a[Rows];
  unroll<Rows, NV>([&](auto i, auto j) __attribute__((always_inline)) { acc[i][j] = zero<typename P::Sum>(); });
  unroll<Rows>([&](auto i) __attribute__((always_inline)) { a[i] = rows[i]; });
  const auto step = [&](Index k, const Word* bk) __attribute__((always_inline)) {
    Pack<Word> bj[NV];
    unroll<NV>([&](auto j) __attribute__((always_inline)) { bj[j] = Pack<Word>::load(bk + j * W); });
    unroll<Rows>([&](auto i) __attribute__((always_inline)) {
      const Pack<Word> ai = broadcast(a[i] + k);
      unroll<NV>([&](auto j) __attribute__((always_inline)) { add_product(acc[i][j], ai, bj[j]); });
    });
  };
  for (;;) {
    const Index run = words < strips.run ? words : strips.run;
    Index k = 0;
    for (; k + 4 <= run; k += 4, b += 4 * NR, next.line += next.step) {
      __builtin_prefetch(next.line, 0, 2);
      unroll<4>([&](auto q) __attribute__((always_inline)) { step(k + q, b + q * NR); });
    }
    for (; k < run; ++k, b += NR) step(k, b);
    words -= run;
    if (words <= 0) break;
    unroll<Rows>([&](auto i) __attribute__((always_inline)) { a[i] += strips.run + strips.skip; });
  }
  unroll<Rows, NV>([&](auto i, auto j) __attribute__((always_inline)) { sums[i][j] = acc[i][j]; });
}

}  // namespace sspo::cpu::SSPO_ISA
