// The numbers that an 8-bit moment can be: a dynamic map (Dettmers et al. 2021, arXiv 2110.02861, section 1.3), which spends its codes on
// decades: decade k, (10^-(Bits-k+1), 10^-(Bits-k)], has 2^k of them, evenly spaced, codes 2^k to 2^(k+1) - 1. Large numbers are told
// apart finely, small ones are not lost.
//   SignedMap, Bits = 6: code = sign << 7 | magnitude, 127 magnitudes from 1e-6 to 1      for m
//   PositiveMap, Bits = 7: 255 numbers from 1e-7 to 1                                     for √v
// Code 0 is 0. A block's numbers are given as shares of its largest size, which is 1, exactly. Within a decade both ways are one fma:
//   number = slope[k] t + offset[k],  t = (2 code + 1) / 2^(k+1)         code = round(steps[k] x + start[k]),  x > bound[k-1]
// so that a set of instructions may compute them or look them up: the bits are the same.
#pragma once
#include <array>
#include <bit>
#include <cstdint>

namespace sspo::kernels {

template <int Bits>
struct MomentMap {
  static constexpr int top = (2 << Bits) - 1;        // the code of 1
  std::array<float, std::size_t(top) + 1> value{};   // ascending
  std::array<float, std::size_t(top) + 1> middle{};  // middle[c]: above it, code c + 1 is nearer; the largest x whose code is c
  std::array<float, Bits + 1> slope{}, offset{}, steps{}, start{}, bound{};

  consteval MomentMap() {
    for (std::size_t k = 0; k <= Bits; ++k) {
      double decade = 1;
      for (int e = 0; e < Bits - int(k); ++e) decade /= 10;
      const int count = 1 << k;
      const auto t = [&](int code) { return (2 * code + 1) / (2.0 * count); };
      slope[k] = float(0.9 * decade), offset[k] = float(decade - double(slope[k]) * t(2 * count - 1));  // the last is the decade's bound
      for (int code = count; code < 2 * count; ++code) value[std::size_t(code)] = float(double(slope[k]) * t(code) + double(offset[k]));  // exact, then rounded
      bound[k] = value[std::size_t(2 * count - 1)];
      steps[k] = float(count / double(slope[k])), start[k] = float(-double(offset[k]) / double(slope[k]) * count - 0.5);
    }
    steps[0] = 1 / bound[0], start[0] = 0;  // the smallest number alone: nearer than 0 from its half on
    if (value[std::size_t(top)] != 1) throw "the largest is not 1";
    for (std::size_t c = 0; c < std::size_t(top); ++c) {  // by bisection of the formula
      std::uint32_t low = std::bit_cast<std::uint32_t>(value[c]), high = std::bit_cast<std::uint32_t>(value[c + 1]);
      if (code_of(value[c]) != int(c) || code_of(value[c + 1]) != int(c) + 1) throw "a number is not its own nearest";
      while (high - low > 1) {
        const std::uint32_t between = low + (high - low) / 2;
        (code_of(std::bit_cast<float>(between)) <= int(c) ? low : high) = between;
      }
      middle[c] = std::bit_cast<float>(low);
    }
    middle[std::size_t(top)] = 1e30f;
  }
  // The nearest number's code: the definition, by search.   x >= 0
  constexpr int nearest(float x) const {
    int code = 0;
    while (code < top && x > middle[std::size_t(code)]) ++code;
    return code;
  }

 private:
  constexpr int code_of(float x) const {
    std::size_t k = Bits;
    while (k > 0 && x <= bound[k - 1]) --k;
    const float y = float(static_cast<long double>(x) * steps[k] + start[k]);  // exact, then rounded: an fma
    const int down = int(y), odd = down % 2;
    const float rest = y - float(down);
    return y <= 0 ? 0 : down + (rest > 0.5f || (rest == 0.5f && odd));  // as processors round
  }
};
using SignedMap = MomentMap<6>;
using PositiveMap = MomentMap<7>;

}  // namespace sspo::kernels
