// Pack<T>: one SIMD register of T, and the few operations kernels need. One source for every set:
// the width follows the flags of the file (16, 32 or 64 bytes), arithmetic is the compiler's vector
// extension, intrinsics appear only where that has no word for it (fma, f16, bf16 dot products).
//
//   using F = Pack<float>;
//   for (; i + F::size <= n; i += F::size) fma(F::load(a + i), F::load(b + i), acc)...
//   if (i < n) tail = F::load_n(a + i, n - i);          // missing lanes are 0
//
// Include only from src/cpu/isa/: everything here lives in the namespace of the instruction set.
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "sspo/base/config.hpp"
#include "sspo/base/half.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if !defined(SSPO_ISA)
#define SSPO_ISA baseline
#endif

// Wide packs: by their instructions, or lane by lane in a checking build.
#if defined(SSPO_EMULATE_AVX512)
#include "cpu/avx512_emulated.hpp"
#endif
#if defined(__AVX512F__) || defined(SSPO_EMULATE_AVX512)
#define SSPO_AVX512 1
#endif

// Of this set bf16 products alone are taken; the rest would be avx512's over again.
#if defined(__AVX512BF16__) || defined(SSPO_EMULATE_AVX512_BF16)
#define SSPO_BF16_ALONE 1
#endif

#if SSPO_AVX512
#define SSPO_SIMD_BYTES 64
#elif defined(__AVX2__)
#define SSPO_SIMD_BYTES 32
#else
#define SSPO_SIMD_BYTES 16
#endif

namespace sspo::cpu::SSPO_ISA {

template <class T> struct BitsOf;
template <> struct BitsOf<float> { using type = std::int32_t; };
template <> struct BitsOf<double> { using type = std::int64_t; };
template <> struct BitsOf<std::int32_t> { using type = std::int32_t; };
template <> struct BitsOf<std::int64_t> { using type = std::int64_t; };

template <class T>
struct Pack {
  typedef T V __attribute__((vector_size(SSPO_SIMD_BYTES)));
  typedef T Unaligned __attribute__((vector_size(SSPO_SIMD_BYTES), aligned(1), may_alias));  // a pair of bf16 loads as one int32, too
  using Bits = Pack<typename BitsOf<T>::type>;  // the integer pack of the same lanes
  using Mask = typename Bits::V;                // all ones or all zeros per lane, as comparisons give
  static constexpr int size = SSPO_SIMD_BYTES / int(sizeof(T));
  V v;

  Pack() = default;
  Pack(V x) : v(x) {}
  template <class S, class = std::enable_if_t<std::is_arithmetic_v<S>>>
  Pack(S x) : v(T(x) - V{}) {}  // the same value in every lane

  static Pack load(const T* p) { return Pack(V(*reinterpret_cast<const Unaligned*>(p))); }
  void store(T* p) const { *reinterpret_cast<Unaligned*>(p) = v; }
  static Pack load_n(const T* p, Index n) {  // n < size lanes, the others 0
#if SSPO_AVX512
    if constexpr (sizeof(T) == 4) return (V)_mm512_maskz_loadu_epi32(__mmask16((1u << n) - 1), p);
    else return (V)_mm512_maskz_loadu_epi64(__mmask8((1u << n) - 1), p);
#elif defined(__AVX2__)
    if constexpr (sizeof(T) == 4) return (V)_mm256_maskload_epi32(reinterpret_cast<const int*>(p), (__m256i)first_lanes(n));
    else return (V)_mm256_maskload_epi64(reinterpret_cast<const long long*>(p), (__m256i)first_lanes(n));
#else
    alignas(SSPO_SIMD_BYTES) T lanes[size] = {};
    for (Index i = 0; i < n; ++i) lanes[i] = p[i];
    return load(lanes);
#endif
  }
  void store_n(T* p, Index n) const {
#if SSPO_AVX512
    if constexpr (sizeof(T) == 4) _mm512_mask_storeu_epi32(p, __mmask16((1u << n) - 1), (__m512i)v);
    else _mm512_mask_storeu_epi64(p, __mmask8((1u << n) - 1), (__m512i)v);
#else
    alignas(SSPO_SIMD_BYTES) T lanes[size];  // AVX2's masked store is slower than this
    store(lanes);
    constexpr Index half = size / 2, quarter = size / 4;  // n in binary: 4 + 2 + 1 lanes
    const T* from = lanes;
    if (n & half) { std::memcpy(p, from, sizeof(T) * half); p += half; from += half; }
    if (quarter > 0 && (n & quarter)) { std::memcpy(p, from, sizeof(T) * quarter); p += quarter; from += quarter; }
    if (quarter > 1 && (n & 1)) *p = *from;
#endif
  }
  static Mask first_lanes(Index n) {  // all ones in lanes below n
    using B = typename BitsOf<T>::type;
    alignas(SSPO_SIMD_BYTES) static constexpr struct Table {
      B lane[2 * size] = {};
      constexpr Table() { for (int i = 0; i < size; ++i) lane[i] = B(-1); }
    } table;
    return (Mask)Bits::load(table.lane + size - n).v;
  }
  T operator[](int i) const { return v[i]; }

  friend Pack operator+(Pack a, Pack b) { return a.v + b.v; }
  friend Pack operator-(Pack a, Pack b) { return a.v - b.v; }
  friend Pack operator*(Pack a, Pack b) { return a.v * b.v; }
  friend Pack operator/(Pack a, Pack b) { return a.v / b.v; }
  friend Pack operator-(Pack a) { return -a.v; }
  Pack& operator+=(Pack b) { v = v + b.v; return *this; }
  Pack& operator*=(Pack b) { v = v * b.v; return *this; }
  friend Mask operator<(Pack a, Pack b) { return (Mask)(a.v < b.v); }
  friend Mask operator<=(Pack a, Pack b) { return (Mask)(a.v <= b.v); }
  friend Mask operator>(Pack a, Pack b) { return (Mask)(a.v > b.v); }
  friend Mask operator>=(Pack a, Pack b) { return (Mask)(a.v >= b.v); }
  friend Mask operator==(Pack a, Pack b) { return (Mask)(a.v == b.v); }
  friend Mask operator!=(Pack a, Pack b) { return (Mask)(a.v != b.v); }
};

template <class T> inline Pack<T> select(typename Pack<T>::Mask m, Pack<T> yes, Pack<T> no) { return m ? yes.v : no.v; }
template <class T> inline typename Pack<T>::Bits to_bits(Pack<T> x) { return (typename Pack<T>::Mask)(x.v); }
inline Pack<float> from_bits(Pack<std::int32_t> x) { return (Pack<float>::V)(x.v); }
inline Pack<double> from_bits(Pack<std::int64_t> x) { return (Pack<double>::V)(x.v); }

// a b + c. One rounding where the set has FMA; two, the same everywhere, in the baseline.
template <class T> inline Pack<T> fma(Pack<T> a, Pack<T> b, Pack<T> c) { return a.v * b.v + c.v; }
#if SSPO_AVX512
template <> inline Pack<float> fma(Pack<float> a, Pack<float> b, Pack<float> c) { return (Pack<float>::V)_mm512_fmadd_ps(a.v, b.v, c.v); }
template <> inline Pack<double> fma(Pack<double> a, Pack<double> b, Pack<double> c) { return (Pack<double>::V)_mm512_fmadd_pd(a.v, b.v, c.v); }
#elif defined(__FMA__)
template <> inline Pack<float> fma(Pack<float> a, Pack<float> b, Pack<float> c) { return (Pack<float>::V)_mm256_fmadd_ps(a.v, b.v, c.v); }
template <> inline Pack<double> fma(Pack<double> a, Pack<double> b, Pack<double> c) { return (Pack<double>::V)_mm256_fmadd_pd(a.v, b.v, c.v); }
#endif

// NaN in either operand gives NaN, as in PyTorch's maximum and minimum.
template <class T> inline Pack<T> max(Pack<T> a, Pack<T> b) { return select<T>((a > b) | (a != a), a, b); }
template <class T> inline Pack<T> min(Pack<T> a, Pack<T> b) { return select<T>((a < b) | (a != a), a, b); }
template <class T> inline Pack<T> abs(Pack<T> a) {
  if constexpr (T(0.5) == T(0)) return select<T>(a < Pack<T>(T(0)), -a, a);
  else {
    using B = typename BitsOf<T>::type;
    return from_bits(typename Pack<T>::Bits(to_bits(a).v & ~(typename Pack<T>::Mask{} + (B(1) << (sizeof(B) * 8 - 1)))));
  }
}

inline Pack<float> sqrt(Pack<float> a) {
#if SSPO_AVX512
  return (Pack<float>::V)_mm512_sqrt_ps(a.v);
#elif defined(__AVX2__)
  return (Pack<float>::V)_mm256_sqrt_ps(a.v);
#else
  Pack<float> r;
  for (int i = 0; i < Pack<float>::size; ++i) r.v[i] = __builtin_sqrtf(a.v[i]);
  return r;
#endif
}
inline Pack<double> sqrt(Pack<double> a) {
#if SSPO_AVX512
  return (Pack<double>::V)_mm512_sqrt_pd(a.v);
#elif defined(__AVX2__)
  return (Pack<double>::V)_mm256_sqrt_pd(a.v);
#else
  Pack<double> r;
  for (int i = 0; i < Pack<double>::size; ++i) r.v[i] = __builtin_sqrt(a.v[i]);
  return r;
#endif
}

// Horizontal sum and maximum in a fixed order: halves, then halves of halves.
template <class T>
inline T reduce_add(Pack<T> a) {
  T lanes[Pack<T>::size];
  a.store(lanes);
  for (int half = Pack<T>::size / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}
template <class T>
inline T reduce_max(Pack<T> a) {
  T lanes[Pack<T>::size], m;
  a.store(lanes);
  m = lanes[0];
  for (int i = 1; i < Pack<T>::size; ++i) m = (lanes[i] > m || lanes[i] != lanes[i]) ? lanes[i] : m;
  return m;
}

// load_as<C>(p), store_as(x, p): memory holds T, registers hold the compute type C. A bf16 becomes
// the upper half of a float; a float rounds to the nearest bf16, ties to even.
template <class C, class T> struct Convert;
template <class C> struct Convert<C, C> {
  static Pack<C> load(const C* p) { return Pack<C>::load(p); }
  static Pack<C> load_n(const C* p, Index n) { return Pack<C>::load_n(p, n); }
  static void store(Pack<C> x, C* p) { x.store(p); }
  static void store_n(Pack<C> x, C* p, Index n) { x.store_n(p, n); }
};
template <> struct Convert<float, bf16> {
  static constexpr int size = Pack<float>::size;
  static Pack<float> load(const bf16* p) {
#if SSPO_AVX512
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return (Pack<float>::V)_mm512_slli_epi32(wide, 16);
#elif defined(__AVX2__)
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return (Pack<float>::V)_mm256_slli_epi32(wide, 16);
#else
    return load_n(p, size);
#endif
  }
  static Pack<float> load_n(const bf16* p, Index n) {
    std::uint32_t u[size] = {};
    for (Index i = 0; i < n; ++i) u[i] = std::uint32_t(p[i].bits) << 16;
    Pack<float> r;
    std::memcpy(&r.v, u, sizeof u);
    return r;
  }
  static Pack<std::int32_t> round(Pack<float> x) {  // the bf16's bits in the low half of each lane
    using I = Pack<std::int32_t>;
    const I u = to_bits(x);
    const I even = I((u.v >> 16) & 1), nearest = I(I::V((u.v + 0x7fff + even.v) >> 16) & 0xffff);
    return select<std::int32_t>(x != x, I(((u.v >> 16) & 0xffff) | 0x40), nearest);
  }
  static void store(Pack<float> x, bf16* p) {
#if SSPO_AVX512
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16((__m512i)round(x).v));
#elif defined(__AVX2__)
    const __m256i r = (__m256i)round(x).v;
    const __m128i lo = _mm256_castsi256_si128(r), hi = _mm256_extracti128_si256(r, 1);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packus_epi32(lo, hi));
#else
    store_n(x, p, size);
#endif
  }
  static void store_n(Pack<float> x, bf16* p, Index n) {
    const Pack<std::int32_t> r = round(x);
    for (Index i = 0; i < n; ++i) p[i].bits = std::uint16_t(r.v[i]);
  }
};
template <class C, class T> inline Pack<C> load_as(const T* p) { return Convert<C, T>::load(p); }
template <class C, class T> inline Pack<C> load_as_n(const T* p, Index n) { return Convert<C, T>::load_n(p, n); }
template <class C, class T> inline void store_as(Pack<C> x, T* p) { Convert<C, T>::store(x, p); }
template <class C, class T> inline void store_as_n(Pack<C> x, T* p, Index n) { Convert<C, T>::store_n(x, p, n); }

}  // namespace sspo::cpu::SSPO_ISA
