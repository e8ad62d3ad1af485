// The numbers that an 8-bit moment can be: a dynamic map (Dettmers et al. 2021, arXiv 2110.02861, section 1.3), which spends its codes on
// decades: of (10^-(e+1), 10^-e] it has 2^(Bits-e), evenly spaced, e = 0 ... Bits. Large numbers are told apart finely, small ones
// are not lost: the step relative to the number is at most 0.9/2^(Bits-e) / 0.1.
//   SignedMap, Bits = 6: code = sign << 7 | magnitude, 127 magnitudes from 1e-6 to 1      for m
//   PositiveMap, Bits = 7: 255 numbers from 1e-7 to 1                                     for √v
// Code 0 is 0. A block's numbers are given as shares of its largest size, which is 1, exactly. Within a decade, of codes 2^k to 2^(k+1) - 1, a
// number is one fma of its code: slope[k] t + offset[k], t = (2 code + 1) / 2^(k+1); so it needs no table.
#pragma once
#include <array>
#include <cstdint>

namespace sspo::kernels {

template <int Bits>
struct MomentMap {
  static constexpr int top = (2 << Bits) - 1;  // the code of 1
  std::array<float, std::size_t(top) + 1> value{};   // ascending
  std::array<float, std::size_t(top) + 1> middle{};  // middle[c]: halfway to the next; a number above it is nearer to that one

  std::array<float, Bits + 1> slope{}, offset{};

  consteval MomentMap() {
    for (std::size_t k = 0; k <= Bits; ++k) {
      double decade = 1;
      for (int e = 0; e < Bits - int(k); ++e) decade /= 10;
      const int count = 1 << k;
      const auto t = [&](int code) { return (2 * code + 1) / (2.0 * count); };
      slope[k] = float(0.9 * decade), offset[k] = float(decade - double(slope[k]) * t(2 * count - 1));  // the last is the decade's bound
      for (int code = count; code < 2 * count; ++code) value[std::size_t(code)] = float(double(slope[k]) * t(code) + double(offset[k]));  // exact, then rounded: an fma
    }
    if (value[std::size_t(top)] != 1) throw "the largest is not 1";
    for (std::size_t c = 0; c < std::size_t(top); ++c) middle[c] = float((double(value[c]) + double(value[c + 1])) / 2);
    middle[std::size_t(top)] = 1e30f;
  }
  // The nearest number's code, the lower one of two equally near: the definition; kernels find it quicker. x >= 0
  constexpr int nearest(float x) const {
    int code = 0;
    while (code < top && x > middle[std::size_t(code)]) ++code;
    return code;
  }
};
using SignedMap = MomentMap<6>;
using PositiveMap = MomentMap<7>;

}  // namespace sspo::kernels
