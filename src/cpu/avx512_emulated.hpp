// The AVX-512 intrinsics of the kernels, lane by lane, so that machines without AVX-512 run the sources of those sets:
// wide packs, masks, tiles of 12 rows, pairs of bf16. A checking build (CMake option SSPO_EMULATE_AVX512), many times slower.
//   _mm512_fmadd_ps(a, b, c)        // finds the function below, not <immintrin.h>'s: it stands in the kernels' namespace
// Each function says in plain C what Intel's Intrinsics Guide says of its namesake.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>

// Where the compiler's own are macros.
#undef _mm512_extractf32x8_ps
#undef _mm512_insertf32x8
#undef _mm512_slli_epi32

namespace sspo::cpu::SSPO_ISA {

template <class V, class F>
inline V each_lane(const F& lane) {
  V r;
  for (unsigned i = 0; i < sizeof(V) / sizeof(r[0]); ++i) r[i] = lane(i);
  return r;
}

// --- arithmetic -------------------------------------------------------------------------------
inline __m512 _mm512_fmadd_ps(__m512 a, __m512 b, __m512 c) {
  return each_lane<__m512>([&](unsigned i) { return __builtin_fmaf(a[i], b[i], c[i]); });
}
inline __m512d _mm512_fmadd_pd(__m512d a, __m512d b, __m512d c) {
  return each_lane<__m512d>([&](unsigned i) { return __builtin_fma(a[i], b[i], c[i]); });
}
inline __m512 _mm512_sqrt_ps(__m512 a) { return each_lane<__m512>([&](unsigned i) { return __builtin_sqrtf(a[i]); }); }
inline __m512d _mm512_sqrt_pd(__m512d a) { return each_lane<__m512d>([&](unsigned i) { return __builtin_sqrt(a[i]); }); }
// The second operand where either is NaN, and of two zeros.
inline __m512 _mm512_max_ps(__m512 a, __m512 b) { return each_lane<__m512>([&](unsigned i) { return a[i] > b[i] ? a[i] : b[i]; }); }
inline __m512 _mm512_min_ps(__m512 a, __m512 b) { return each_lane<__m512>([&](unsigned i) { return a[i] < b[i] ? a[i] : b[i]; }); }

// --- memory under a mask: lanes whose bit is not set are neither read nor written ----------------
template <class T>
inline __m512i masked_load(unsigned mask, const void* from) {
  T lanes[64 / sizeof(T)] = {};
  for (unsigned i = 0; i < 64 / sizeof(T); ++i)
    if (mask >> i & 1) std::memcpy(lanes + i, static_cast<const char*>(from) + i * sizeof(T), sizeof(T));
  __m512i r;
  std::memcpy(&r, lanes, sizeof r);
  return r;
}
template <class T>
inline void masked_store(void* to, unsigned mask, __m512i v) {
  T lanes[64 / sizeof(T)];
  std::memcpy(lanes, &v, sizeof v);
  for (unsigned i = 0; i < 64 / sizeof(T); ++i)
    if (mask >> i & 1) std::memcpy(static_cast<char*>(to) + i * sizeof(T), lanes + i, sizeof(T));
}
inline __m512i _mm512_maskz_loadu_epi32(__mmask16 mask, const void* from) { return masked_load<std::uint32_t>(mask, from); }
inline __m512i _mm512_maskz_loadu_epi64(__mmask8 mask, const void* from) { return masked_load<std::uint64_t>(mask, from); }
inline void _mm512_mask_storeu_epi32(void* to, __mmask16 mask, __m512i v) { masked_store<std::uint32_t>(to, mask, v); }
inline void _mm512_mask_storeu_epi64(void* to, __mmask8 mask, __m512i v) { masked_store<std::uint64_t>(to, mask, v); }

// --- halves and conversions -------------------------------------------------------------------
inline __m256 _mm512_castps512_ps256(__m512 a) { return each_lane<__m256>([&](unsigned i) { return a[i]; }); }
inline __m512 _mm512_castps256_ps512(__m256 a) { return each_lane<__m512>([&](unsigned i) { return i < 8 ? a[i] : __builtin_nanf(""); }); }
inline __m256 _mm512_extractf32x8_ps(__m512 a, int half) { return each_lane<__m256>([&](unsigned i) { return a[i + 8 * unsigned(half)]; }); }
inline __m512 _mm512_insertf32x8(__m512 a, __m256 b, int half) {
  return each_lane<__m512>([&](unsigned i) { return int(i / 8) == half ? b[i % 8] : a[i]; });
}
inline __m512d _mm512_cvtps_pd(__m256 a) { return each_lane<__m512d>([&](unsigned i) { return double(a[i]); }); }
inline __m256 _mm512_cvtpd_ps(__m512d a) { return each_lane<__m256>([&](unsigned i) { return float(a[i]); }); }

typedef std::uint32_t Lanes32 __attribute__((vector_size(64)));
inline __m512i _mm512_cvtepu16_epi32(__m256i a) {
  std::uint16_t half[16];
  std::memcpy(half, &a, sizeof half);
  return (__m512i)each_lane<Lanes32>([&](unsigned i) { return half[i]; });
}
inline __m256i _mm512_cvtepi32_epi16(__m512i a) {  // the lower half of each lane
  const Lanes32 lanes = (Lanes32)a;
  std::uint16_t half[16];
  for (unsigned i = 0; i < 16; ++i) half[i] = std::uint16_t(lanes[i]);
  __m256i r;
  std::memcpy(&r, half, sizeof r);
  return r;
}
inline __m512i _mm512_slli_epi32(__m512i a, unsigned bits) { return (__m512i)((Lanes32)a << bits); }

// --- pairs of bf16 ----------------------------------------------------------------------------
// One lane of vdpbf16ps: the odd product first, then the even one, each rounded to the nearest f32; subnormal
// operands and results count as zeros.
inline float flushed(float x) { return __builtin_fabsf(x) < 0x1p-126f ? __builtin_copysignf(0.0f, x) : x; }
inline float dot_bf16_pair(float sum, std::uint32_t a, std::uint32_t b) {
  const auto element = [](std::uint32_t pair, bool odd) {
    const std::uint32_t bits = odd ? pair & 0xffff0000u : pair << 16;
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return flushed(x);
  };
  sum = flushed(__builtin_fmaf(element(a, true), element(b, true), flushed(sum)));
  return flushed(__builtin_fmaf(element(a, false), element(b, false), sum));
}
inline __m512 dot_bf16_pairs(__m512 sums, __m512i a, __m512i b) {
  const Lanes32 la = (Lanes32)a, lb = (Lanes32)b;
  return each_lane<__m512>([&](unsigned i) { return dot_bf16_pair(sums[i], la[i], lb[i]); });
}

}  // namespace sspo::cpu::SSPO_ISA
