// How one lane multiplies and adds: the element types of a product, and the size of its tile.
#pragma once
#include <type_traits>
#include <utility>

#include "cpu/simd.hpp"

namespace sspo::cpu::SSPO_ISA {

// 16 registers: 12 sums, 2 of b, 1 of a. 32 registers: 24 sums; with 28, the compiler moves and spills some.
#if SSPO_AVX512
inline constexpr int tile_rows = 12;
#else
inline constexpr int tile_rows = 6;
#endif

// bf16 products either widen to f32 while packing, or stay pairs along k and multiply two at a time.
// The baseline takes the second way with the dot product spelled out, so every machine tests it.
#if defined(__AVX512BF16__) || defined(SSPO_EMULATE_AVX512_BF16) || !defined(__AVX2__)
inline constexpr bool bf16_pairs = true;
#else
inline constexpr bool bf16_pairs = false;
#endif

template <class T>
inline Pack<T> zero() {
  return typename Pack<T>::V{};
}
template <class T>
inline Pack<T> broadcast(const T* p) {
  return Pack<T>(*p);
}

// acc += a b. The instruction is spelled out where there is one: it adds in place. A compiler free to write
// the sum over a or b instead does so, and then moves and spills sums in the innermost loop.
inline void add_product(Pack<float>& acc, Pack<float> a, Pack<float> b) {
#if defined(__FMA__) && !defined(SSPO_EMULATE_AVX512)
  asm("vfmadd231ps %2, %1, %0" : "+v"(acc.v) : "v"(a.v), "v"(b.v));
#else
  acc = fma(a, b, acc);
#endif
}
inline void add_product(Pack<double>& acc, Pack<double> a, Pack<double> b) {
#if defined(__FMA__) && !defined(SSPO_EMULATE_AVX512)
  asm("vfmadd231pd %2, %1, %0" : "+v"(acc.v) : "v"(a.v), "v"(b.v));
#else
  acc = fma(a, b, acc);
#endif
}

// acc += a_low b_low + a_high b_high in each 32-bit lane of bf16 pairs.
inline void add_product(Pack<float>& acc, Pack<std::int32_t> a, Pack<std::int32_t> b) {
#if defined(__AVX512BF16__)
  asm("vdpbf16ps %2, %1, %0" : "+v"(acc.v) : "v"(a.v), "v"(b.v));
#elif defined(SSPO_EMULATE_AVX512_BF16)
  acc = (Pack<float>::V)dot_bf16_pairs((__m512)acc.v, (__m512i)a.v, (__m512i)b.v);
#else
  using I = Pack<std::int32_t>;
  const auto low = [](I x) { return from_bits(I(x.v << 16)); };
  const auto high = [](I x) { return from_bits(I(x.v & std::int32_t(0xffff0000))); };
  acc = fma(high(a), high(b), fma(low(a), low(b), acc));
#endif
}

inline float widened(bf16 x) { return to_float(x); }
inline float widened(float x) { return x; }
inline double widened(double x) { return x; }

// Elements In, sums Sum; a Word holds `depth` elements along k.
template <class InT, class SumT, class WordT, int depth_>
struct ProductsOf {
  using In = InT;
  using Sum = SumT;
  using Word = WordT;
  static constexpr int depth = depth_, MR = tile_rows, NV = 2, NR = NV * Pack<Sum>::size;
  static constexpr bool matrix_tiles = false;
  static constexpr Index unit = 8;  // blocks of k are multiples of it, in words
  static constexpr Index words(Index k) { return (k + depth - 1) / depth; }
};

// Are pairs of bf16 multiplied by the unit for small matrices (gemm_matrix_tiles.hpp)?
#if defined(__AMX_BF16__) || defined(SSPO_EMULATE_AMX)
inline constexpr bool bf16_matrix_tiles = true;
#else
inline constexpr bool bf16_matrix_tiles = false;
#endif

template <class In> struct Products;
template <> struct Products<float> : ProductsOf<float, float, float, 1> {
  static float word(float x, const float*) { return x; }
};
template <> struct Products<double> : ProductsOf<double, double, double, 1> {
  static double word(double x, const double*) { return x; }
};
template <bool pairs> struct ProductsBf16;
template <> struct ProductsBf16<false> : ProductsOf<bf16, float, float, 1> {
  static float word(bf16 x, const bf16*) { return to_float(x); }
};
template <> struct ProductsBf16<true> : ProductsOf<bf16, float, std::int32_t, 2> {
  static constexpr bool matrix_tiles = bf16_matrix_tiles;
  static constexpr int MR = matrix_tiles ? 32 : tile_rows;
  static constexpr Index unit = matrix_tiles ? 16 : 8;
  static std::int32_t word(bf16 x, const bf16* next) {
    return std::int32_t(x.bits | (next ? std::uint32_t(next->bits) << 16 : 0u));
  }
};
template <> struct Products<bf16> : ProductsBf16<bf16_pairs> {};

}  // namespace sspo::cpu::SSPO_ISA
