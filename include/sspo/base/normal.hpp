// Standard normal numbers from random bits: Box & Muller (1958). Given one pair of words every device
// makes the same two numbers, bit for bit: the formulas are sums, products and one square root, each
// rounded to f32 by itself. No library functions, no fused multiply-adds.
//   const NormalPair z = box_muller(word0, word1);   // z.first, z.second independent, N(0, 1)
// Compile users of this header without contraction of a * b + c (-ffp-contract=off, as the engine is).
#pragma once
#include <bit>
#include <cstdint>

#include "sspo/base/config.hpp"

namespace sspo {

struct NormalPair {
  float first, second;
};

namespace detail {

// An f32 whose every operation is rounded by itself, also by compilers that like to fuse.
struct Rounded {
  float value;
#if defined(__CUDA_ARCH__)
  friend __device__ Rounded operator+(Rounded a, Rounded b) { return {__fadd_rn(a.value, b.value)}; }
  friend __device__ Rounded operator*(Rounded a, Rounded b) { return {__fmul_rn(a.value, b.value)}; }
  friend __device__ Rounded sqrt(Rounded a) { return {__fsqrt_rn(a.value)}; }
#else
  friend Rounded operator+(Rounded a, Rounded b) { return {a.value + b.value}; }
  friend Rounded operator*(Rounded a, Rounded b) { return {a.value * b.value}; }
  friend Rounded sqrt(Rounded a) { return {__builtin_sqrtf(a.value)}; }
#endif
};

// c0 + c1 x + c2 x^2 + ...
SSPO_HD inline Rounded rounded_polynomial(Rounded, float c0) { return {c0}; }
template <class... C>
SSPO_HD inline Rounded rounded_polynomial(Rounded x, float c0, C... more) { return Rounded{c0} + x * rounded_polynomial(x, more...); }

}  // namespace detail

// ln u for u in (0, 1], u = m 2^e with √½ <= m < √2:  e ln 2 + f - f²/2 + f³ P(f),  f = m - 1.
// P is a minimax fit; relative error below 9e-8 (measured over all 2^24 values of u below).
SSPO_HD inline float log_of_uniform(float u) {
  using detail::Rounded;
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(u);
  const std::int32_t e = std::int32_t(bits - 0x3f3504f3u) >> 23;  // 0x3f3504f3: √½
  const float m = std::bit_cast<float>(bits - (std::uint32_t(e) << 23));
  const Rounded f{m - 1.0f}, exponent{float(e)};
  const Rounded p = detail::rounded_polynomial(f, 0x1.555554p-2f, -0x1.000226p-2f, 0x1.99a008p-3f, -0x1.547244p-3f, 0x1.22da1ep-3f,
                                               -0x1.0d8542p-3f, 0x1.055b68p-3f, -0x1.38b578p-4f);
  const Rounded ff = f * f;
  const Rounded tail = Rounded{-0.5f} * ff + f * ff * p + exponent * Rounded{-0x1.bd0106p-13f};  // ln 2 = 355/512 - 2.12e-4
  return (f + tail + exponent * Rounded{0.693359375f}).value;                                   // the last product is exact
}

struct SinCos {
  float sin, cos;
};
// sin and cos of 2π k / 2^24. The angle is brought into [-π/4, π/4] by whole numbers, without error.
// Absolute error below 1e-7 (measured over all k).
SSPO_HD inline SinCos sin_cos_of_turn(std::uint32_t k) {
  using detail::Rounded;
  const std::uint32_t quarter = (k + (1u << 21)) >> 22;
  const std::int32_t rest = std::int32_t(k) - std::int32_t(quarter << 22);
  const Rounded t = Rounded{float(rest)} * Rounded{0x1.921fb6p-22f}, tt = t * t;  // 2π / 2^24
  const float s = (t + t * tt * detail::rounded_polynomial(tt, -0x1.555546p-3f, 0x1.11073ap-7f, -0x1.9943e0p-13f)).value;
  const float c = (Rounded{1.0f} + tt * detail::rounded_polynomial(tt, -0.5f, 0x1.55554ap-5f, -0x1.6c0c34p-10f, 0x1.99eb9cp-16f)).value;
  const float sine = quarter & 1 ? c : s, cosine = quarter & 1 ? s : c;
  return {quarter & 2 ? -sine : sine, (quarter + 1) & 2 ? -cosine : cosine};
}

// u = (k + 1) / 2^24 from the upper 24 bits of the first word, the angle from those of the second:
// √(-2 ln u) (cos 2πv, sin 2πv). |z| <= √(48 ln 2) = 5.77.
SSPO_HD inline NormalPair box_muller(std::uint32_t word0, std::uint32_t word1) {
  using detail::Rounded;
  const float u = float(std::int32_t(word0 >> 8) + 1) * 0x1p-24f;
  const Rounded radius = sqrt(Rounded{-2.0f} * Rounded{log_of_uniform(u)} + Rounded{0.0f});
  const SinCos angle = sin_cos_of_turn(word1 >> 8);
  return {(radius * Rounded{angle.cos}).value, (radius * Rounded{angle.sin}).value};
}

// A number in [0, 1) with 24 random bits.
SSPO_HD constexpr float uniform_of(std::uint32_t word) { return float(std::int32_t(word >> 8)) * 0x1p-24f; }

}  // namespace sspo
