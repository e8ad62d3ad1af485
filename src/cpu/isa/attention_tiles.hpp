// What attention is built from: products with their tiles in registers, transposes, rows gathered into
// panels, and 2^x. Shapes at the right; a strip is two packs of lanes wide and holds one query (forward)
// or one key (backward) per lane.
#pragma once
#include "cpu/simd.hpp"

namespace sspo::cpu::SSPO_ISA {
namespace {

// A tile's sums, its two packs of B and one broadcast fill the registers: 16 of them, 32 with AVX-512.
constexpr int tile_packs = 2;
constexpr int tile_height = SSPO_SIMD_BYTES == 64 ? 12 : SSPO_SIMD_BYTES == 32 ? 6 : 4;
constexpr Index cache_line = 64;

template <class C> constexpr Index lanes = Pack<C>::size;
template <class C> constexpr Index strip = tile_packs * Pack<C>::size;

constexpr Index least(Index a, Index b) { return a < b ? a : b; }
constexpr Index most(Index a, Index b) { return a > b ? a : b; }
constexpr Index blocks(Index n, Index size) { return (n + size - 1) / size; }
constexpr Index round_up(Index n, Index unit) { return blocks(n, unit) * unit; }

// Row stride of a panel of n columns: an odd number of cache lines, so that a column of it meets every set.
template <class C>
constexpr Index panel_stride(Index n) {
  constexpr Index line = cache_line / Index(sizeof(C));
  return (blocks(n, line) | 1) * line;
}

// How A's element (r, k) is found: a[r * lda + k], or transposed, a[k * lda + r].
enum class Order { rows, columns };

// C = keep ∘ C + A B for R rows and L packs of columns; keep is one factor per column, null: C = A B.
// Per step of k: L loads of B, R broadcasts of A, R L fused multiply-adds.
template <class C, int R, int L, Order order>
inline void tile(Index depth, const C* a, Index lda, const C* b, Index ldb, C* c, Index ldc, const C* keep) {
  using P = Pack<C>;
  P sum[R][L];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int l = 0; l < L; ++l)
      sum[r][l] = keep ? P::load(keep + l * P::size) * P::load(c + r * ldc + l * P::size) : P(C(0));
  for (Index k = 0; k < depth; ++k) {
    P bk[L];
#pragma GCC unroll 4
    for (int l = 0; l < L; ++l) bk[l] = P::load(b + k * ldb + l * P::size);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const P x = order == Order::rows ? a[r * lda + k] : a[k * lda + r];
#pragma GCC unroll 4
      for (int l = 0; l < L; ++l) sum[r][l] = fma(x, bk[l], sum[r][l]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int l = 0; l < L; ++l) sum[r][l].store(c + r * ldc + l * P::size);
}

template <class C, int R, int L, Order order>
inline void tile_of(Index rows, Index depth, const C* a, Index lda, const C* b, Index ldb, C* c, Index ldc,
                    const C* keep) {
  if constexpr (R > 1) {
    if (rows < R) return tile_of<C, R - 1, L, order>(rows, depth, a, lda, b, ldb, c, ldc, keep);
  }
  tile<C, R, L, order>(depth, a, lda, b, ldb, c, ldc, keep);
}

template <class C>
struct Ones {
  alignas(SSPO_SIMD_BYTES) C x[strip<C>];
  constexpr Ones() : x{} { for (C& one : x) one = C(1); }
};
template <class C> constexpr Ones<C> ones;

// C = keep ∘ C + A B for any number of rows and L packs of columns. Rows are cut into tiles of nearly equal
// height; a deep product is cut so that the part of B in use stays in the first-level cache.
template <class C, int L, Order order>
inline void product(Index rows, Index depth, const C* a, Index lda, const C* b, Index ldb, C* c, Index ldc,
                    const C* keep) {
  constexpr Index chunk = 16384 / (strip<C> * Index(sizeof(C)));
  const Index tiles = blocks(rows, tile_height);
  if (tiles == 0) return;
  const Index height = rows / tiles, higher = rows % tiles;
  Index k = 0;
  do {
    const Index part = least(depth - k, chunk);
    Index r = 0;
    for (Index t = 0; t < tiles; ++t) {
      const Index n = height + (t < higher);
      tile_of<C, tile_height, L, order>(n, part, a + (order == Order::rows ? r * lda + k : k * lda + r), lda,
                                      b + k * ldb, ldb, c + r * ldc, ldc, keep);
      r += n;
    }
    keep = ones<C>.x;
    k += part;
  } while (k < depth);
}

// The same for a strip of which `width` columns matter: the second pack is left out where it can be.
template <class C, Order order>
inline void strip_product(Index width, Index rows, Index depth, const C* a, Index lda, const C* b, Index ldb, C* c,
                          Index ldc, const C* keep) {
  if (width > lanes<C>) product<C, 2, order>(rows, depth, a, lda, b, ldb, c, ldc, keep);
  else product<C, 1, order>(rows, depth, a, lda, b, ldb, c, ldc, keep);
}

// Squares of 16-byte rows, the grain of a transpose: 4 x 4 floats, 2 x 2 doubles.
inline void transpose_square(const float* src, Index lds, float* dst, Index ldd, float factor) {
  typedef float V __attribute__((vector_size(16)));
  V a, b, c, d;
  std::memcpy(&a, src, 16), std::memcpy(&b, src + lds, 16);
  std::memcpy(&c, src + 2 * lds, 16), std::memcpy(&d, src + 3 * lds, 16);
  const V ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const V cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd1 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  a = factor * __builtin_shufflevector(ab0, cd0, 0, 1, 4, 5), b = factor * __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7);
  c = factor * __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5), d = factor * __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7);
  std::memcpy(dst, &a, 16), std::memcpy(dst + ldd, &b, 16);
  std::memcpy(dst + 2 * ldd, &c, 16), std::memcpy(dst + 3 * ldd, &d, 16);
}
inline void transpose_square(const double* src, Index lds, double* dst, Index ldd, double factor) {
  typedef double V __attribute__((vector_size(16)));
  V a, b;
  std::memcpy(&a, src, 16), std::memcpy(&b, src + lds, 16);
  const V r0 = factor * __builtin_shufflevector(a, b, 0, 2), r1 = factor * __builtin_shufflevector(a, b, 1, 3);
  std::memcpy(dst, &r0, 16), std::memcpy(dst + ldd, &r1, 16);
}

// dst[c][r] = factor src[r][c]
template <class C>
inline void transpose(const C* src, Index lds, Index rows, Index cols, C* dst, Index ldd, C factor) {
  constexpr Index side = 16 / Index(sizeof(C));
  Index r = 0;
  for (; r + side <= rows; r += side) {
    Index c = 0;
    for (; c + side <= cols; c += side) transpose_square(src + r * lds + c, lds, dst + c * ldd + r, ldd, factor);
    for (; c < cols; ++c)
      for (Index i = 0; i < side; ++i) dst[c * ldd + r + i] = factor * src[(r + i) * lds + c];
  }
  for (; r < rows; ++r)
    for (Index c = 0; c < cols; ++c) dst[c * ldd + r] = factor * src[r * lds + c];
}

// Starts the way of rows into the caches: for what is read or written after the next piece of arithmetic.
template <int write, class T>
inline void prefetch_rows(const T* p, Index stride, Index rows, Index cols) {
  for (Index r = 0; r < rows; ++r, p += stride)
    for (Index c = 0; c < cols; c += cache_line / Index(sizeof(T))) __builtin_prefetch(p + c, write, 2);
}

// Rows of T in memory become rows of C in a panel, filled up with zeros to whole packs. Even where T is C:
// rows of a [B, N, H, D] tensor lie pages apart and share few cache sets, those of a panel do not.
template <class C, class T>
inline void gather_rows(const T* src, Index stride, Index rows, Index cols, C* dst, Index ldd) {
  for (Index r = 0; r < rows; ++r, src += stride, dst += ldd) {
    Index c = 0;
    for (; c + lanes<C> <= cols; c += lanes<C>) load_as<C>(src + c).store(dst + c);
    if (c < cols) load_as_n<C>(src + c, cols - c).store(dst + c);
  }
}

// dst[r][c] = factor src[r][c], rounded to T
template <class C, class T>
inline void scatter_rows(const C* src, Index lds, Index rows, Index cols, T* dst, Index stride, C factor) {
  for (Index r = 0; r < rows; ++r, src += lds, dst += stride) {
    Index c = 0;
    for (; c + lanes<C> <= cols; c += lanes<C>) store_as(factor * Pack<C>::load(src + c), dst + c);
    if (c < cols) store_as_n(factor * Pack<C>::load_n(src + c, cols - c), dst + c, cols - c);
  }
}

// `rows` rows of T become columns: dst[c][r] = factor src[r][c] for r < strip, zero where r >= rows.
// `panel` holds the rows on the way, `strip` rows of ldp.
template <class C, class T>
inline void gather_columns(const T* src, Index stride, Index rows, Index cols, C* dst, C factor, C* panel, Index ldp) {
  if (rows < strip<C>)
    for (Index i = 0; i < cols * strip<C>; ++i) dst[i] = C(0);
  if constexpr (sizeof(T) == sizeof(C)) {
    transpose<C>(src, stride, rows, cols, dst, strip<C>, factor);
  } else {
    gather_rows<C>(src, stride, rows, cols, panel, ldp);
    transpose<C>(panel, ldp, rows, cols, dst, strip<C>, factor);
  }
}

// The way back: dst[r][c] = factor src[c][r] for r < rows.
template <class C, class T>
inline void scatter_columns(const C* src, Index rows, Index cols, T* dst, Index stride, C factor, C* panel, Index ldp) {
  if constexpr (sizeof(T) == sizeof(C)) {
    transpose<C>(src, strip<C>, cols, rows, dst, stride, factor);
  } else {
    transpose<C>(src, strip<C>, cols, rows, panel, ldp, factor);
    scatter_rows<C>(panel, ldp, rows, cols, dst, stride, C(1));
  }
}

// 2^x for x <= 0 (or hardly above), within 1 ulp; below the smallest normal number 0, at -inf too; NaN stays.
//   n = round(x), in the low bits of x + magic and there already biased   2^x = 2^(x - n) 2^n
template <class C> struct Exp2;
template <> struct Exp2<float> {  // minimax on [-1/2, 1/2], relative error 2e-9
  static constexpr float magic = 0x1.8p23f + 127, smallest = -126;
  static constexpr int fraction_bits = 23;
  static constexpr float coefficients[] = {0x1.41fbbcp-13f, 0x1.5f3e52p-10f, 0x1.3b2d4cp-7f, 0x1.c6aee8p-5f,
                                           0x1.ebfbdcp-3f,  0x1.62e43p-1f,   1};
};
template <> struct Exp2<double> {  // Taylor: (log 2)^k / k!, relative error 5e-18
  static constexpr double magic = 0x1.8p52 + 1023, smallest = -1022;
  static constexpr int fraction_bits = 52;
  static constexpr double coefficients[] = {
      1.3691488853904124e-12, 2.5678435993488196e-11, 4.44553827187081e-10,   7.054911620801121e-09,
      1.0178086009239696e-07, 1.3215486790144305e-06, 1.5252733804059838e-05, 1.5403530393381606e-04,
      1.3333558146428441e-03, 9.618129107628477e-03,  5.5504108664821576e-02, 2.402265069591007e-01,
      6.931471805599453e-01,  1};
};
template <class C>
inline Pack<C> exp2_of_negative(Pack<C> x) {
  using P = Pack<C>;
  using E = Exp2<C>;
  constexpr int terms = sizeof E::coefficients / sizeof(C);
  const P t = x + P(E::magic), f = x - (t - P(E::magic));
  P y = E::coefficients[0];
#pragma GCC unroll 16
  for (int i = 1; i < terms; ++i) y = fma(y, f, P(E::coefficients[i]));
  const P power = from_bits(typename P::Bits(to_bits(t).v << E::fraction_bits));
  return select<C>(x < P(E::smallest), P(C(0)), y * power);
}

}  // namespace
}  // namespace sspo::cpu::SSPO_ISA
