// bf16 and f16: 16-bit storage types. Arithmetic happens in f32; these convert, nothing more.
//   float y = to_float(bf16{1.5f});
#pragma once
#include <bit>
#include <cstdint>

#include "sspo/base/config.hpp"

namespace sspo {

// 1 sign, 8 exponent, 7 fraction bits: the upper half of an f32. Rounds to nearest, ties to even.
struct bf16 {
  std::uint16_t bits = 0;
  bf16() = default;
  SSPO_HD explicit bf16(float x) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(x);
    bits = (u & 0x7fffffffu) > 0x7f800000u ? std::uint16_t((u >> 16) | 0x40u)  // NaN stays NaN
                                           : std::uint16_t((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
};

// IEEE 754 binary16. Rounds to nearest, ties to even; overflows to infinity; subnormals kept.
struct f16 {
  std::uint16_t bits = 0;
  f16() = default;
  SSPO_HD explicit f16(float x) {
    const std::uint32_t u = std::bit_cast<std::uint32_t>(x), sign = (u >> 16) & 0x8000u;
    const std::uint32_t a = u & 0x7fffffffu;
    if (a > 0x7f800000u) {  // NaN
      bits = std::uint16_t(sign | 0x7e00u | ((a >> 13) & 0x3ffu));
    } else if (a >= 0x477ff000u) {  // rounds to 65536 or more
      bits = std::uint16_t(sign | 0x7c00u);
    } else if (a < 0x38800000u) {  // below 2^-14: the sum aligns the fraction, the hardware rounds it
      const float r = std::bit_cast<float>(a) + 0.5f;
      bits = std::uint16_t(sign | (std::bit_cast<std::uint32_t>(r) - 0x3f000000u));
    } else {
      bits = std::uint16_t(sign | ((a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13));
    }
  }
};

SSPO_HD inline float to_float(bf16 x) { return std::bit_cast<float>(std::uint32_t(x.bits) << 16); }
SSPO_HD inline float to_float(f16 x) {
  const std::uint32_t sign = std::uint32_t(x.bits & 0x8000u) << 16, a = x.bits & 0x7fffu;
  if (a >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | ((a & 0x3ffu) << 13));
  const float scaled = std::bit_cast<float>((a << 13) + (a >= 0x400u ? 0x38000000u : 0u));
  if (a >= 0x400u) return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(scaled));
  const float tiny = float(a) * 0x1p-24f;  // subnormal: a counts units of 2^-24
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(tiny));
}
SSPO_HD inline float to_float(float x) { return x; }

}  // namespace sspo
