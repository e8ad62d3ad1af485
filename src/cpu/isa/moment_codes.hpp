// 8-bit moments in packs: codes to numbers and back (kernels/moment_map.hpp), by tables that fit in the first-level cache; AVX-512 holds
// the decades' formulas in registers and computes them. The same bits.
//   Pack<float> m = decode_signed(load_codes(codes, lanes)) * scale;
//   store_codes(encode_signed(m * (1 / scale)), codes, lanes);
#pragma once
#include <bit>

#include "cpu/isa/each_pack.hpp"
#include "kernels/moment_map.hpp"

namespace sspo::cpu::SSPO_ISA {
namespace {

using F8 = Pack<float>;
using I8 = Pack<std::int32_t>;

// The code of x from its first bits: an entry for every 2^-K of a power of two holds the lowest code there (8 bits) and, above it,
// the bits of x within that entry beyond which the code is one more. One look-up in place of a search.
template <int Bits>
struct CodeTable {
  static constexpr int K = Bits, shift = 23 - K, below = Bits == 6 ? 21 : 25;  // of 2^-below and less the code is 0
  static constexpr std::int32_t first = (127 - below) << 23, last = 127 << 23;  // bits of 2^-below and of 1
  static constexpr int entries = ((last - first) >> shift) + 1;
  static constexpr std::int32_t rest = (1 << shift) - 1;
  alignas(64) std::int32_t entry[entries]{};

  consteval CodeTable(const kernels::MomentMap<Bits>& map) {
    int code = 0;
    for (int i = 0; i < entries; ++i) {
      const std::int32_t begin = first + (i << shift);
      while (std::bit_cast<float>(begin) > map.middle[std::size_t(code)]) ++code;
      const std::int32_t middle = std::bit_cast<std::int32_t>(map.middle[std::size_t(code)]), beyond = middle - begin < rest ? middle - begin : rest;
      if (std::bit_cast<float>(begin + rest) > map.middle[std::size_t(code) + (code < map.top)]) throw "an entry holds two middles";
      entry[i] = code | beyond << 8;
    }
  }
};
constexpr kernels::SignedMap signed_map{};
constexpr kernels::PositiveMap positive_map{};

inline I8 gather(const std::int32_t* table, I8 at) {
#if defined(__AVX512F__)
  return (I8::V)_mm512_i32gather_epi32((__m512i)at.v, table, 4);
#elif defined(__AVX2__) && SSPO_SIMD_BYTES == 32
  return (I8::V)_mm256_i32gather_epi32(table, (__m256i)at.v, 4);
#else
  I8 r;
  for (int i = 0; i < I8::size; ++i) r.v[i] = table[at.v[i]];
  return r;
#endif
}
inline F8 gather(const float* table, I8 at) {
#if defined(__AVX512F__)
  return (F8::V)_mm512_i32gather_ps((__m512i)at.v, table, 4);
#elif defined(__AVX2__) && SSPO_SIMD_BYTES == 32
  return (F8::V)_mm256_i32gather_ps(table, (__m256i)at.v, 4);
#else
  F8 r;
  for (int i = 0; i < F8::size; ++i) r.v[i] = table[at.v[i]];
  return r;
#endif
}

inline I8 load_codes(const std::uint8_t* p, Part part) {
  alignas(SSPO_SIMD_BYTES) std::int32_t lanes[I8::size] = {};
  for (Index i = 0; i < part.n; ++i) lanes[i] = p[i];
  return I8::load(lanes);
}
inline I8 load_codes(const std::uint8_t* p, Full) {
#if defined(__AVX512F__)
  return (I8::V)_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(__AVX2__) && SSPO_SIMD_BYTES == 32
  return (I8::V)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#else
  return load_codes(p, Part{I8::size});
#endif
}
inline void store_codes(I8 codes, std::uint8_t* p, Part part) {
  for (Index i = 0; i < part.n; ++i) p[i] = std::uint8_t(codes.v[i]);
}
inline void store_codes(I8 codes, std::uint8_t* p, Full) {
#if defined(__AVX512F__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8((__m512i)codes.v));
#elif defined(__AVX2__) && SSPO_SIMD_BYTES == 32
  const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128((__m256i)codes.v), _mm256_extracti128_si256((__m256i)codes.v, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
#else
  store_codes(codes, p, Part{I8::size});
#endif
}

template <int Bits>
struct Decoder {
#if defined(__AVX512F__)
  alignas(64) float slope[16]{}, offset[16]{};  // by the exponent of 2 code + 1, of which its last 4 bits tell; of code 0 both are 0
  consteval Decoder(const kernels::MomentMap<Bits>& map) {
    for (std::size_t k = 0; k <= Bits; ++k) slope[(128 + k) & 15] = map.slope[k], offset[(128 + k) & 15] = map.offset[k];
  }
  F8 operator()(I8 codes) const {
    const __m512i bits = (__m512i)_mm512_cvtepi32_ps((__m512i)(codes.v + codes.v + 1)), exponent = _mm512_srli_epi32(bits, 23);
    const F8 t = from_bits(I8(((I8::V)bits & 0x7fffff) | 0x3f800000));
    return fma(t, F8((F8::V)_mm512_permutexvar_ps(exponent, _mm512_load_ps(slope))), F8((F8::V)_mm512_permutexvar_ps(exponent, _mm512_load_ps(offset))));
  }
#else
  const kernels::MomentMap<Bits>& map;
  F8 operator()(I8 codes) const { return gather(map.value.data(), codes); }
#endif
};
constexpr Decoder<6> signed_numbers{signed_map};
constexpr Decoder<7> positive_numbers{positive_map};

inline F8 decode_signed(I8 codes) { return from_bits(I8(to_bits(signed_numbers(I8(codes.v & 127))).v | ((codes.v & 128) << 24))); }
inline F8 decode_positive(I8 codes) { return positive_numbers(codes); }

// The code of a share, 0 to 1; NaN: as 1, its block's scale is NaN.
template <int Bits>
struct Encoder {
  using Table = CodeTable<Bits>;
#if defined(__AVX512F__)
  // By the last 5 bits of x's exponent: the decade of the power of two that x is in, and the bound within, where the next one begins.
  alignas(64) float bound[32]{};
  alignas(64) std::int32_t decade[32]{};
  alignas(64) float steps[16]{}, start[16]{};
  consteval Encoder(const kernels::MomentMap<Bits>& map) {
    for (int e = 127 - Table::below; e <= 127; ++e) {
      const float begin = std::bit_cast<float>(e << 23), end = std::bit_cast<float>((e + 1) << 23);
      int k = 0;
      while (k < Bits && begin > map.bound[std::size_t(k)]) ++k;
      decade[e & 31] = k, bound[e & 31] = k < Bits && map.bound[std::size_t(k)] < end ? map.bound[std::size_t(k)] : 2;
    }
    for (std::size_t k = 0; k <= Bits; ++k) steps[k] = map.steps[k], start[k] = map.start[k];
  }
  I8 operator()(F8 share) const {
    const I8 bits = max(min(to_bits(share), I8(Table::last)), I8(Table::first));
    const __m512i exponent = _mm512_srli_epi32((__m512i)bits.v, 23), x = (__m512i)bits.v;
    const __m512 next = _mm512_permutex2var_ps(_mm512_load_ps(bound), exponent, _mm512_load_ps(bound + 16));
    const __m512i here = _mm512_permutex2var_epi32(_mm512_load_si512(decade), exponent, _mm512_load_si512(decade + 16));
    const __m512i k = _mm512_mask_add_epi32(here, _mm512_cmp_ps_mask((__m512)x, next, _CMP_GT_OQ), here, _mm512_set1_epi32(1));
    const F8 y = fma(F8((F8::V)x), F8((F8::V)_mm512_permutexvar_ps(k, _mm512_load_ps(steps))), F8((F8::V)_mm512_permutexvar_ps(k, _mm512_load_ps(start))));
    return (I8::V)_mm512_cvtps_epi32((__m512)y.v);
  }
#else
  const Table& table;
  I8 operator()(F8 share) const {
    const I8 bits = max(min(to_bits(share), I8(Table::last)), I8(Table::first)), at = I8(bits.v - Table::first);
    const I8 entry = gather(table.entry, I8(at.v >> Table::shift));
    return I8((entry.v & 255) - (I8::V)((at.v & Table::rest) > (entry.v >> 8)));  // a comparison that holds is -1
  }
#endif
};
#if defined(__AVX512F__)
constexpr Encoder<6> signed_code{signed_map};
constexpr Encoder<7> positive_code{positive_map};
#else
alignas(64) constexpr CodeTable<6> signed_codes{signed_map};
alignas(64) constexpr CodeTable<7> positive_codes{positive_map};
constexpr Encoder<6> signed_code{signed_codes};
constexpr Encoder<7> positive_code{positive_codes};
#endif

inline I8 encode_signed(F8 share) { return I8(signed_code(abs(share)).v | ((to_bits(share).v >> 24) & 128)); }
inline I8 encode_positive(F8 share) { return max(positive_code(share), I8(-(I8::V)(share > F8(0.f)))); }

}  // namespace
}  // namespace sspo::cpu::SSPO_ISA
