// Packing: from matrices, wherever their contiguous dimension lies, to the two layouts the tiles read.
//
//   rows    of A: line i = k words, one after the other        [lines][ld]
//   panels  of B: NR neighbouring columns, k by k              [n / NR][k][NR], missing columns 0
//
// A word is what one lane multiplies: an element in the type of the sums, or (where the set has bf16 dot
// products) two bf16 neighbours along k. Both layouts are copies where memory runs their way, and
// register transposes where it runs the other way.
#pragma once
#include "cpu/isa/gemm_tile.hpp"

namespace sspo::cpu::SSPO_ISA {

// W registers of W lanes, transposed in log2(W) butterflies: step s swaps lane bit s with register bit s.
template <int s, class T, int... l>
[[gnu::always_inline]] inline void transpose_step(Pack<T>* r, std::integer_sequence<int, l...>) {
  constexpr int W = Pack<T>::size;
#pragma GCC unroll 16
  for (int i = 0; i < W; ++i) {
    if (i & s) continue;
    const Pack<T> a = r[i], b = r[i + s];
    r[i] = (typename Pack<T>::V)__builtin_shufflevector(a.v, b.v, ((l & s) ? W + l - s : l)...);
    r[i + s] = (typename Pack<T>::V)__builtin_shufflevector(a.v, b.v, ((l & s) ? W + l : l + s)...);
  }
}
template <class T>
[[gnu::always_inline]] inline void transpose(Pack<T>* r) {
  constexpr int W = Pack<T>::size;
  constexpr auto lanes = std::make_integer_sequence<int, W>{};
  if constexpr (W >= 16) transpose_step<8>(r, lanes);
  if constexpr (W >= 8) transpose_step<4>(r, lanes);
  if constexpr (W >= 4) transpose_step<2>(r, lanes);
  transpose_step<1>(r, lanes);
}

// The words of `count` neighbouring lines at one k: from the elements at k (lo) and, for pairs, k + 1 (hi).
// A null pointer stands for zeros: a pixel outside the image, or the missing half of an odd last pair.
template <class P>
struct Across {
  using In = typename P::In;
  using Word = typename P::Word;
  static Pack<Word> load(const In* lo, const In* hi) {
    if constexpr (P::depth == 1) {
      return load_as<Word>(lo);
    } else {
      Pack<Word> w = zero<Word>();
      if (lo) w = load_u16(lo);
      if (hi) w = typename Pack<Word>::V(w.v | (load_u16(hi).v << 16));
      return w;
    }
  }
  static Pack<Word> load_n(const In* lo, const In* hi, Index n) {
    if constexpr (P::depth == 1) {
      return load_as_n<Word>(lo, n);
    } else {
      Pack<Word> w = zero<Word>();
      for (Index i = 0; i < n; ++i)
        w.v[i] = Word((lo ? lo[i].bits : 0u) | (hi ? std::uint32_t(hi[i].bits) << 16 : 0u));
      return w;
    }
  }
  static void copy(const In* lo, const In* hi, Index n, Word* to) {
    constexpr int W = Pack<Word>::size;
    Index i = 0;
    if (!lo && !hi) {
      for (; i + W <= n; i += W) zero<Word>().store(to + i);
      for (; i < n; ++i) to[i] = 0;
      return;
    }
    for (; i + W <= n; i += W) load(lo ? lo + i : lo, hi ? hi + i : hi).store(to + i);
    if (i < n) load_n(lo ? lo + i : lo, hi ? hi + i : hi, n - i).store_n(to + i, n - i);
  }

 private:
  static Pack<std::int32_t> load_u16(const bf16* p) {
#if SSPO_AVX512
    return (Pack<std::int32_t>::V)_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#else
    Pack<std::int32_t> r;
    for (int i = 0; i < r.size; ++i) r.v[i] = p[i].bits;
    return r;
#endif
  }
};

// The words of one line at neighbouring k: n elements from p. An odd last pair ends with 0.
template <class P>
struct Along {
  using In = typename P::In;
  using Word = typename P::Word;
  static Pack<Word> load(const In* p) {
    if constexpr (P::depth == 1) return load_as<Word>(p);
    else return Pack<Word>::load(reinterpret_cast<const Word*>(p));
  }
  static Pack<Word> load_n(const In* p, Index n) {  // n elements, n < W depth
    if constexpr (P::depth == 1) {
      return load_as_n<Word>(p, n);
    } else {
      Pack<Word> w = zero<Word>();
      __builtin_memcpy(&w.v, p, std::size_t(n) * sizeof(In));
      return w;
    }
  }
  static void copy(const In* p, Index n, Word* to) {
    constexpr int W = Pack<Word>::size, D = P::depth;
    Index i = 0;
    for (; i + W * D <= n; i += W * D) load(p + i).store(to + i / D);
    if (i < n) load_n(p + i, n - i).store_n(to + i / D, P::words(n - i));
  }
};

// One k of several panels, `apart` words from each other: columns j, ..., j + n - 1.
template <class P>
inline void copy_across_panels(const typename P::In* lo, const typename P::In* hi, Index j, Index n,
                               typename P::Word* to, Index apart) {
  constexpr int W = Pack<typename P::Word>::size, NR = P::NR;
  to += j / NR * apart;
  for (Index q = j % NR; n > 0; q = 0, to += apart) {
    const Index count = n < NR - q ? n : NR - q;
    if (count == NR && lo && (P::depth == 1 || hi)) {
      for (int v = 0; v < NR; v += W) Across<P>::load(lo + v, P::depth == 1 ? nullptr : hi + v).store(to + v);
    } else {
      Across<P>::copy(lo, hi, count, to + q);
    }
    n -= count;
    if (lo) lo += count;
    if (hi) hi += count;
  }
}

// Where a part of B lies in memory: `count` runs of `bytes` bytes, `step` bytes apart.
struct Runs {
  const void* data;
  Index count, bytes, step;
};

// Columns beyond n in the last panel are zeros: they multiply, but reach no C.
template <class P>
inline void clear_last_panel(Index n, Index words, typename P::Word* to) {
  constexpr int NR = P::NR;
  if (n % NR)
    for (Index i = n / NR * words * NR, end = i + words * NR; i < end; ++i) to[i] = 0;
}

// Panels of a B whose columns are neighbours in memory: row(k) is where those of one k lie. A few panels at
// a time, k by k, so that neighbouring cache lines are read together; each is asked for a few rows ahead.
template <class P, class Row>
inline void pack_panels_by_rows(const Row& row, Index n, Index nk, typename P::Word* to) {
  constexpr Index D = P::depth, NR = P::NR, width = 4 * NR, ahead = 12 * D;
  const Index words = P::words(nk);
  clear_last_panel<P>(n, words, to);
  for (Index j = 0; j < n; j += width) {
    const Index nj = n - j < width ? n - j : width;
    for (Index k = 0; k < nk; k += D) {
      for (Index d = 0; d < D; ++d) {
        const char* const soon = reinterpret_cast<const char*>(row(k + ahead + d < nk ? k + ahead + d : nk - 1) + j);
        for (Index q = 0; q < nj * Index(sizeof(typename P::In)); q += 64) __builtin_prefetch(soon + q);
      }
      const auto* const hi = D == 2 && k + 1 < nk ? row(k + 1) + j : nullptr;
      copy_across_panels<P>(row(k) + j, hi, 0, nj, to + j * words + k / D * NR, words * NR);
    }
  }
}

// A strided matrix as lines along k: element (l, k) = data[l * line + k * step]. A's lines are its rows,
// B's its columns.
template <class In>
struct Lines {
  const In* data;
  Index line, step, batch = 0;

  Lines item(Index b) const { return {data + b * batch, line, step, batch}; }

  // Rows that can be read where they lie, or null.
  template <class P>
  const typename P::Word* in_place(Index k) const {
    const bool same = std::is_same_v<In, typename P::Word> || (P::depth == 2 && k % 2 == 0 && line % 2 == 0);
    const bool crowded = P::MR > 8 && line * Index(sizeof(In)) % 4096 == 0;  // all rows of a tile in one set of L1, of 8 ways
    return same && step == 1 && !crowded ? reinterpret_cast<const typename P::Word*>(data) : nullptr;
  }

  Index words_apart(int depth) const { return line / depth; }

  template <class P>
  void pack_rows(Index i0, Index lines, Index k0, Index nk, typename P::Word* to, Index ld) const {
    using Word = typename P::Word;
    constexpr int W = Pack<Word>::size, D = P::depth;
    const In* const p = data + i0 * line + k0 * step;
    if (step == 1) {
      for (Index i = 0; i < lines; ++i) Along<P>::copy(p + i * line, nk, to + i * ld);
    } else if (line == 1) {
      const Index words = P::words(nk);
      for (Index i = 0; i < lines; i += W) {
        const Index ni = lines - i < W ? lines - i : W;
        for (Index kw = 0; kw < words; kw += W) {
          Pack<Word> r[W];
          for (int q = 0; q < W; ++q) {
            const Index k = (kw + q) * D;
            const In* const lo = p + i + k * step;
            if (i * sizeof(In) % 64 == 0) __builtin_prefetch(reinterpret_cast<const char*>(lo) + 64);
            const In* const hi = D == 2 && k + 1 < nk ? lo + step : nullptr;
            r[q] = k >= nk ? zero<Word>()
                           : ni == W ? Across<P>::load(lo, hi) : Across<P>::load_n(lo, hi, ni);
          }
          transpose(r);
          for (Index q = 0; q < ni; ++q) r[q].store(to + (i + q) * ld + kw);  // ld leaves room for W words
        }
      }
    } else {
      gather<P>(p, lines, nk, to, ld, 1);
    }
  }

  Runs runs(Index j0, Index lines, Index k0, Index nk) const {
    const Index size = sizeof(In);
    const In* const p = data + j0 * line + k0 * step;
    return step == 1 ? Runs{p, lines, nk * size, line * size} : Runs{p, nk, lines * size, step * size};
  }

  template <class P>
  void pack_panels(Index j0, Index lines, Index k0, Index nk, typename P::Word* to) const {
    using Word = typename P::Word;
    constexpr int W = Pack<Word>::size, D = P::depth, NR = P::NR;
    const In* const p = data + j0 * line + k0 * step;
    const Index words = P::words(nk);
    if (line == 1) return pack_panels_by_rows<P>([&](Index k) { return p + k * step; }, lines, nk, to);
    clear_last_panel<P>(lines, words, to);
    for (Index j = 0; j < lines; j += NR, to += words * NR) {
      const In* const pj = p + j * line;
      const Index nj = lines - j < NR ? lines - j : NR;
      Index kw = 0;
      if (step == 1 && nj == NR)
        for (; (kw + W) * D <= nk; kw += W)
          for (int half = 0; half < NR; half += W) {
            Pack<Word> r[W];
            for (int q = 0; q < W; ++q) r[q] = Along<P>::load(pj + (half + q) * line + kw * D);
            transpose(r);
            for (int q = 0; q < W; ++q) r[q].store(to + (kw + q) * NR + half);
          }
      if (kw < words) gather<P>(pj + kw * D * step, nj, nk - kw * D, to + kw * NR, 1, NR);
    }
  }

 private:
  // Word (l, kw) to to[l * to_line + kw * to_k], one by one.
  template <class P>
  void gather(const In* p, Index lines, Index nk, typename P::Word* to, Index to_line, Index to_k) const {
    constexpr int D = P::depth;
    for (Index l = 0; l < lines; ++l)
      for (Index kw = 0; kw < P::words(nk); ++kw) {
        const In* const lo = p + l * line + kw * D * step;
        to[l * to_line + kw * to_k] = P::word(*lo, D == 2 && kw * D + 1 < nk ? lo + step : nullptr);
      }
  }
};

}  // namespace sspo::cpu::SSPO_ISA
