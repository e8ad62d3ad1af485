// Elementary functions of Pack<float> and Pack<double>, lane by lane, without branches.
// Worst errors in units in the last place (ulp), as measured by tests/cpu/simd_math_test.cpp:
//
//                    f32    f64    notes
//   exp              1.2    1.2    subnormal results rounded once more; overflows to inf, exp(-200) is 0
//   exp_nonpositive  1.2    1.2    x <= 0 only, a quarter cheaper: 0 where x < -87 (f64: -708)
//   expm1            1.8    2.3    exact near 0, keeps -0
//   log, log1p       0.9    0.9    0 -> -inf, negative -> NaN; log1p exact near 0, keeps -0
//   tanh, sigmoid    2.7    2.8    relative, also where they are tiny
//   erf              1.6    1.6
//   normal_cdf       4.6    4.6    relative, down to 1e-38 (2e-308): below may be 0. normal() gives the
//                                  density (3.0) for the same price
//   sin, cos         0.51   1.6    every finite x: Cody & Waite to 2^20 pi/2, Payne & Hanek beyond; inf -> NaN
//   pow              0.51   1.5    all special cases of IEEE 754
//   rsqrt            1.5    1.5    1/sqrt. sqrt (simd.hpp) 0.5; floor, sign are exact; sign(NaN) = 0
//
// NaN gives NaN. Bounds hold with and without FMA. Polynomials are minimax fits on the interval named
// beside them. f32 sin, cos and pow compute in f64: they are rare, and this way almost always correctly
// rounded.
#pragma once
#include <bit>

#include "cpu/simd.hpp"

namespace sspo::cpu::SSPO_ISA {

// c0 + c1 x + c2 x^2 + ...
template <class T>
inline Pack<T> polynomial(Pack<T>, T c0) { return c0; }
template <class T, class... C>
inline Pack<T> polynomial(Pack<T> x, T c0, C... more) { return fma(polynomial(x, T(more)...), x, Pack<T>(c0)); }

// The same of degree 7 in pairs of pairs (Estrin 1960): two products more, a chain of 3 steps instead of 7. For loops that
// wait for one chain at a time.
template <class T>
inline Pack<T> polynomial_of_pairs(Pack<T> x, T c0, T c1, T c2, T c3, T c4, T c5, T c6, T c7) {
  const Pack<T> x2 = x * x, low = fma(polynomial(x, c2, c3), x2, polynomial(x, c0, c1)), high = fma(polynomial(x, c6, c7), x2, polynomial(x, c4, c5));
  return fma(high, x2 * x2, low);
}

template <class T> struct MathTable;  // per type: the constants the algorithms below need
template <>
struct MathTable<float> {
  static constexpr int fraction_bits = 23, exponent_bias = 127;
  static constexpr float round_magic = 0x1.8p23f;           // x + magic leaves round(x) in the low bits
  static constexpr float exp_low = -104, exp_high = 89;     // exp is 0 below, inf above
  static constexpr float exp_normal = -87;                  // exp is a normal number above
  static constexpr float log2e = 0x1.715476p0f, ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
  static constexpr float expm1_low = -20, tanh_high = 10, tiny = 0x1p-26f;
  static constexpr float mills_k = 4, mills_high = 14.5f;
  static constexpr std::int32_t upper_half = ~0xfff;        // keeps 12 of 24 significant bits
};
template <>
struct MathTable<double> {
  static constexpr int fraction_bits = 52, exponent_bias = 1023;
  static constexpr double round_magic = 0x1.8p52;
  static constexpr double exp_low = -746, exp_high = 710;
  static constexpr double exp_normal = -708;
  static constexpr double log2e = 0x1.71547652b82fep0, ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
  static constexpr double expm1_low = -40, tanh_high = 20, tiny = 0x1p-55;
  static constexpr double mills_k = 5, mills_high = 39;
  static constexpr std::int64_t upper_half = ~0x7ffffff;    // keeps 26 of 53
};

// --- parts ------------------------------------------------------------------------------------
template <class T> inline Pack<T> copysign(Pack<T> magnitude, Pack<T> sign) {
  using B = typename BitsOf<T>::type;
  const typename Pack<T>::Mask top = typename Pack<T>::Mask{} + (B(1) << (8 * sizeof(T) - 1));
  return from_bits(typename Pack<T>::Bits((to_bits(magnitude).v & ~top) | (to_bits(sign).v & top)));
}

template <class T> inline bool any(typename Pack<T>::Mask m) {
  std::int64_t words[SSPO_SIMD_BYTES / 8], seen = 0;
  std::memcpy(words, &m, sizeof words);
  for (std::int64_t w : words) seen |= w;
  return seen != 0;
}

// The part of a b that p = a b has lost to rounding (Dekker 1971 where there is no FMA).
template <class T> inline Pack<T> product_error(Pack<T> a, Pack<T> b, Pack<T> p) {
#if defined(__FMA__)
  return fma(a, b, -p);
#else
  using Bits = typename Pack<T>::Bits;
  const Pack<T> ah = from_bits(Bits(to_bits(a).v & MathTable<T>::upper_half)), al = a - ah;
  const Pack<T> bh = from_bits(Bits(to_bits(b).v & MathTable<T>::upper_half)), bl = b - bh;
  return ((ah * bh - p) + ah * bl + al * bh) + al * bl;
#endif
}

// f32 lanes as two packs of f64, and back.
struct Wide { Pack<double> low, high; };
inline Wide widen(Pack<float> x) {
#if SSPO_AVX512
  const __m512 v = (__m512)x.v;
  return {(Pack<double>::V)_mm512_cvtps_pd(_mm512_castps512_ps256(v)), (Pack<double>::V)_mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1))};
#elif defined(__AVX2__)
  const __m256 v = (__m256)x.v;
  return {(Pack<double>::V)_mm256_cvtps_pd(_mm256_castps256_ps128(v)), (Pack<double>::V)_mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))};
#else
  return {Pack<double>::V{x.v[0], x.v[1]}, Pack<double>::V{x.v[2], x.v[3]}};
#endif
}
inline Pack<float> narrow(Pack<double> low, Pack<double> high) {
#if SSPO_AVX512
  return (Pack<float>::V)_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps((__m512d)low.v)), _mm512_cvtpd_ps((__m512d)high.v), 1);
#elif defined(__AVX2__)
  return (Pack<float>::V)_mm256_set_m128(_mm256_cvtpd_ps((__m256d)high.v), _mm256_cvtpd_ps((__m256d)low.v));
#else
  return Pack<float>::V{float(low.v[0]), float(low.v[1]), float(high.v[0]), float(high.v[1])};
#endif
}

// --- exp, expm1 -------------------------------------------------------------------------------
// x = n ln2 + r with |r| <= ln2/2, so e^x = 2^n e^r. The low bits of n + round_magic are the integer n; with the
// exponent's bias added as well they are the exponent of 2^(n + offset), whose bits are one shift away.
template <class T> struct ExpSplit { typename Pack<T>::Bits biased; Pack<T> r; };
template <class T, int offset = 0> inline ExpSplit<T> split_exp(Pack<T> x) {
  using M = MathTable<T>;
  const Pack<T> magic = M::round_magic + M::exponent_bias + offset;
  const Pack<T> shifted = fma(x, Pack<T>(M::log2e), magic), n = shifted - magic;
  return {to_bits(shifted), fma(n, Pack<T>(-M::ln2_low), fma(n, Pack<T>(-M::ln2_high), x))};
}
template <class T> inline Pack<T> power_of_2(typename Pack<T>::Bits biased) {  // a normal number, or wrong
  return from_bits(typename Pack<T>::Bits(biased.v << MathTable<T>::fraction_bits));
}
// bound where x is beyond it; NaN stays NaN (the instruction returns its second operand then).
template <class T> inline Pack<T> at_least(Pack<T> bound, Pack<T> x) { return select<T>(bound > x, bound, x); }
template <class T> inline Pack<T> at_most(Pack<T> bound, Pack<T> x) { return select<T>(bound < x, bound, x); }
#if defined(__AVX2__) && !SSPO_AVX512
template <> inline Pack<float> at_least(Pack<float> b, Pack<float> x) { return (Pack<float>::V)_mm256_max_ps((__m256)b.v, (__m256)x.v); }
template <> inline Pack<float> at_most(Pack<float> b, Pack<float> x) { return (Pack<float>::V)_mm256_min_ps((__m256)b.v, (__m256)x.v); }
#elif SSPO_AVX512
template <> inline Pack<float> at_least(Pack<float> b, Pack<float> x) { return (Pack<float>::V)_mm512_max_ps((__m512)b.v, (__m512)x.v); }
template <> inline Pack<float> at_most(Pack<float> b, Pack<float> x) { return (Pack<float>::V)_mm512_min_ps((__m512)b.v, (__m512)x.v); }
#endif
// (e^r - 1 - r) / r^2 on |r| <= 0.347
inline Pack<float> exp_remainder(Pack<float> r) {
  return polynomial(r, 0x1p-1f, 0x1.55548ep-3f, 0x1.55545cp-5f, 0x1.123c02p-7f, 0x1.6db51ap-10f);
}
inline Pack<double> exp_remainder(Pack<double> r) {
  return polynomial(r, 0x1.000000000000cp-1, 0x1.5555555555561p-3, 0x1.555555554ff6ap-5, 0x1.111111110d5b2p-7,
                    0x1.6c16c185d3dc3p-10, 0x1.a01a01bb105bcp-13, 0x1.a019961790f05p-16, 0x1.71dddf64445c7p-19,
                    0x1.28b0bee8ab8bap-22, 0x1.af862ccde7f61p-26);
}

template <class T> inline Pack<T> exp_reduced(Pack<T> r) {  // e^r
  return fma(fma(exp_remainder(r), r, Pack<T>(1)), r, Pack<T>(1));
}

// 2^n e^r for any n from exp_low to exp_high, n split with offset -1. 2^n may be no normal number: below, n is
// raised by 64 first and the product brought down at the end; above, half of 2^n is used and the product doubled.
template <class T> inline Pack<T> scaled_exp(Pack<T> x, ExpSplit<T> half) {
  const typename Pack<T>::Mask low = x < Pack<T>(MathTable<T>::exp_normal + 1);
  const Pack<T> e = exp_reduced(half.r) * power_of_2<T>(half.biased.v + (low & 64));
  return e * select<T>(low, T(0x1p-63), T(2));
}
template <class T> inline Pack<T> exp(Pack<T> x) {
  x = at_most<T>(MathTable<T>::exp_high, at_least<T>(MathTable<T>::exp_low, x));
  return scaled_exp(x, split_exp<T, -1>(x));
}
template <class T> inline Pack<T> exp_nonpositive(Pack<T> x) {
  const Pack<T> low = MathTable<T>::exp_normal;
  const ExpSplit<T> s = split_exp(at_least<T>(low, x));
  return select<T>(low > x, T(0), exp_reduced(s.r) * power_of_2<T>(s.biased));
}

// 2^(scale x) for |scale x| <= 125, cheaper than exp: scale x = n + f with one rounding, 2^f from a polynomial of degree
// 5, n added to the exponent. The error is 3 ulp, and that of `scale` in f32 times ln 2 |x|. Needs FMA: the product
// alone would cost |scale x| ulp.
#if defined(__FMA__)
inline Pack<float> exp2_coarse(Pack<float> x, float scale) {
  using F = Pack<float>;
  const F magic = 0x1.8p23f, shifted = fma(x, F(scale), magic), f = fma(x, F(scale), magic - shifted);
  const F e = polynomial(f, 0x1p0f, 0x1.62e42ap-1f, 0x1.ebf9bap-3f, 0x1.c6b75ap-5f, 0x1.3ceb68p-7f, 0x1.5bb92ep-10f);
  return from_bits(F::Bits(to_bits(e).v + (to_bits(shifted).v << 23)));
}
#endif
// e^(sign x) for |x| <= 87 within 3 + |x|/3 ulp; without FMA the plain way.
template <int sign> inline Pack<float> exp_coarse(Pack<float> x) {
#if defined(__FMA__)
  return exp2_coarse(x, MathTable<float>::log2e * sign);
#else
  const ExpSplit<float> s = split_exp(sign < 0 ? -x : x);
  return exp_reduced(s.r) * power_of_2<float>(s.biased);
#endif
}
// e^-x for x clamped to where that is a normal number, for use under a sum with 1.
inline Pack<double> exp_minus_clamped(Pack<double> x) {
  const ExpSplit<double> s = split_exp(-at_most<double>(708.0, at_least<double>(-708.0, x)));
  return exp_reduced(s.r) * power_of_2<double>(s.biased);
}
inline Pack<float> exp_minus_clamped(Pack<float> x) {
  return exp_coarse<-1>(at_most<float>(87.0f, at_least<float>(-87.0f, x)));
}
// e^x for an x <= 0 that is a difference of f32 numbers: its rounding alone may cost |x|/2 ulp, so a coarse e^x will do.
// 0 where exp_nonpositive is.
inline Pack<double> exp_difference(Pack<double> x) { return exp_nonpositive(x); }
inline Pack<float> exp_difference(Pack<float> x) {
  const Pack<float> low = -87.0f, e = exp_coarse<1>(at_least<float>(low, x));
  return select<float>(low > x, 0.0f, select<float>(x == x, e, x));
}

// e^x - 1 = 2^n (e^r - 1) + (2^n - 1); half of it is computed, so that 2^n cannot overflow first.
template <class T> inline Pack<T> expm1(Pack<T> x) {
  using M = MathTable<T>;
  const ExpSplit<T> s = split_exp<T, -1>(at_most<T>(M::exp_high, at_least<T>(M::expm1_low, x)));
  const Pack<T> half = power_of_2<T>(s.biased);
  const Pack<T> q = fma(exp_remainder(s.r) * s.r, s.r, s.r);
  return select<T>(abs(x) < Pack<T>(M::tiny), x, fma(half, q, half - T(0.5)) * T(2));
}

// --- log, log1p -------------------------------------------------------------------------------
// x = 2^k m with m in [sqrt(1/2), sqrt 2), for normal x > 0.
template <class T> struct LogSplit { Pack<T> k, m; };
template <class T> inline LogSplit<T> split_log(Pack<T> x) {
  using M = MathTable<T>;
  using B = typename BitsOf<T>::type;
  using Bits = typename Pack<T>::Bits;
  typedef std::make_unsigned_t<B> Unsigned __attribute__((vector_size(SSPO_SIMD_BYTES)));
  const B one = B(M::exponent_bias) << M::fraction_bits, fraction = (B(1) << M::fraction_bits) - 1;
  const B half_sqrt = to_bits(Pack<T>(T(0.70710678118654752440)))[0];
  // Adding 1 - sqrt(1/2), as integers, carries into the exponent exactly where the fraction passes sqrt 2.
  const typename Pack<T>::Mask u = to_bits(x).v + (one - half_sqrt);
  const typename Pack<T>::Mask biased = (typename Pack<T>::Mask)((Unsigned)u >> M::fraction_bits);
  const Pack<T> k = from_bits(Bits(biased | to_bits(Pack<T>(T(B(1) << M::fraction_bits))).v)) -
                    T((B(1) << M::fraction_bits) + M::exponent_bias);
  return {k, from_bits(Bits((u & fraction) + half_sqrt))};
}
// (log((1+s)/(1-s)) - 2s) / s as a function of z = s^2 on z <= 0.0295
inline Pack<float> log_remainder(Pack<float> z) {
  return polynomial(z, 0x1.555554p-1f, 0x1.999a7cp-2f, 0x1.243874p-2f, 0x1.e3063ap-3f) * z;
}
inline Pack<double> log_remainder(Pack<double> z) {
  return polynomial(z, 0x1.5555555555593p-1, 0x1.999999997f853p-2, 0x1.24924942435ep-2, 0x1.c71c51c20d3f3p-3,
                    0x1.74664e6a1796fp-3, 0x1.39a015061e6ebp-3, 0x1.2f16cd2290da7p-3) * z;
}
// k ln2 + log(1 + f) + c, with s = f/(2+f):  log(1+f) = f - (f^2/2 - s (f^2/2 + R(s^2)))
template <class T> inline Pack<T> log_sum(Pack<T> k, Pack<T> f, Pack<T> c) {
  using M = MathTable<T>;
  const Pack<T> s = f / (f + T(2)), square = f * f * T(0.5);
  const Pack<T> bend = square - fma(s, square + log_remainder(s * s), fma(k, Pack<T>(M::ln2_low), c));
  return fma(k, Pack<T>(M::ln2_high), f - bend);
}
template <class T> inline Pack<T> log_specials(Pack<T> x, Pack<T> y) {  // y = log x for finite x > 0
  const T inf = __builtin_inf();
  y = select<T>(x < Pack<T>(inf), y, x);  // inf and NaN stay
  y = select<T>(x == Pack<T>(T(0)), -inf, y);
  return select<T>(x < Pack<T>(T(0)), T(__builtin_nan("")), y);
}
template <class T> inline Pack<T> log(Pack<T> x) {
  using M = MathTable<T>;
  const T smallest_normal = M::fraction_bits == 23 ? T(0x1p-126) : T(0x1p-1022);
  const typename Pack<T>::Mask subnormal = x < Pack<T>(smallest_normal);
  const LogSplit<T> s = split_log(x * select<T>(subnormal, T(0x1p54), T(1)));
  return log_specials(x, log_sum(s.k - select<T>(subnormal, T(54), T(0)), s.m - T(1), Pack<T>(T(0))));
}
// With u = 1 + x rounded, log(1+x) = log u + (x - (u-1))/u; where u needs no scaling, f is x itself.
template <class T> inline Pack<T> log1p(Pack<T> x) {
  const Pack<T> one = T(1), u = x + one;
  const LogSplit<T> s = split_log(u);
  const typename Pack<T>::Mask unscaled = s.k == Pack<T>(T(0));
  const Pack<T> lost = select<T>(x > one, one - (u - x), x - (u - one)) / u;
  const Pack<T> y = log_sum(s.k, select<T>(unscaled, x, s.m - one), select<T>(unscaled, T(0), lost));
  return select<T>(abs(x) < Pack<T>(MathTable<T>::tiny), x, log_specials(u, y));
}

// --- tanh, sigmoid ----------------------------------------------------------------------------
template <class T> inline Pack<T> tanh(Pack<T> x) {  // with e = e^(2|x|) - 1:  e / (e + 2)
  const Pack<T> e = expm1(at_most<T>(MathTable<T>::tanh_high, abs(x)) * T(2));
  return copysign(e / (e + T(2)), x);
}
template <class T> inline Pack<T> sigmoid(Pack<T> x) {
  const Pack<T> e = exp(-abs(x));
  return select<T>(x < Pack<T>(T(0)), e, T(1)) / (e + T(1));
}

// x sigmoid(x) and its derivative s (1 + x (1 - s)), s = sigmoid(x), 1 - s = e^-x s. Within 4 ulp of max(|x|, 1) and 1.
template <class T> inline Pack<T> silu(Pack<T> x) { return x / (exp_minus_clamped(x) + T(1)); }
template <class T> inline Pack<T> silu_slope(Pack<T> x) {
  const Pack<T> e = exp_minus_clamped(x), s = T(1) / (e + T(1));
  return fma(x * s, e * s, s);
}

// --- erf, normal_cdf --------------------------------------------------------------------------
// e^(a^2/2) P(N(0,1) > a) for a in [0, mills_high]: smooth, falling as 1/a. A polynomial in
// u = (k - a)/(k + a), over k + a.
inline Pack<float> mills_ratio(Pack<float> a) {
  const Pack<float> k = MathTable<float>::mills_k, d = Pack<float>(1) / (k + a);
  return d * polynomial(fma(a * -2, d, Pack<float>(1)), 0x1.82b4bcp-1f, 0x1.373e38p-1f, 0x1.8c6d9ep-2f, 0x1.7ep-3f, 0x1.eed404p-5f,
                        0x1.ed2d1ap-8f, -0x1.cc65c2p-9f, -0x1.9b8bc8p-10f, 0x1.78221ep-13f, 0x1.14c3cap-13f);
}
inline Pack<double> mills_ratio(Pack<double> a) {
  const Pack<double> k = MathTable<double>::mills_k, d = Pack<double>(1) / (k + a);
  return d * polynomial(fma(a * -2, d, Pack<double>(1)), 0x1.89d3abe1f95aep-1, 0x1.54ad03f27ca17p-1, 0x1.fb31653876f9fp-2,
                                     0x1.410ed5f8759e4p-2, 0x1.51f6329f011d3p-3, 0x1.1b1c254c9ec09p-4, 0x1.54b4d4f4f9947p-6,
                                     0x1.88590ea29d6ep-9, -0x1.a250381c6daa4p-11, -0x1.1daf1c396aabep-11, -0x1.f2144a6b80a86p-15,
                                     0x1.a1707cd9ca954p-15, 0x1.17dc86c78b1e5p-16, -0x1.0b1e7d007939cp-18, -0x1.73a47b6479228p-19,
                                     0x1.6847c048f42fep-22, 0x1.d0ce445863c9p-22, -0x1.5f29021ca46dfp-25, -0x1.1b846a5a52d07p-24,
                                     0x1.1d01787f8ca8p-27, 0x1.10e42015195b6p-27, -0x1.899d275bd2b9dp-30, -0x1.4d0ae5e538455p-32);
}

template <class T> struct Normal { Pack<T> cdf, pdf; };  // P(N(0,1) <= x) and its density
template <class T> inline Normal<T> normal(Pack<T> x) {
  const Pack<T> a = at_most<T>(MathTable<T>::mills_high, abs(x));
  const Pack<T> square = a * a, lost = product_error(a, a, square) * T(0.5);
  Pack<T> e = exp_nonpositive(square * T(-0.5));  // e^(-a^2/2), then with what a^2 lost to rounding
  e = fma(-e, lost, e);
  const Pack<T> tail = e * mills_ratio(a);
  return {select<T>(x < Pack<T>(T(0)), tail, T(1) - tail), e * T(0.39894228040143267794)};
}
// The same at two thirds of the price, for gates: f32 within 7 + x^2/2 ulp for |x| <= 8, within 1e-4 of it up to 13, 0
// or 1 beyond.
inline Normal<double> normal_coarse(Pack<double> x) { return normal(x); }
inline Normal<float> normal_coarse(Pack<float> x) {
#if defined(__FMA__)
  using F = Pack<float>;
  const F size = abs(x), a = at_most<float>(13.0f, size);
  const F e = select<float>(size > a, 0.0f, exp2_coarse(a * a, -0.5f * MathTable<float>::log2e));
  const F k = 3.5f, d = F(1) / (k + a), u = fma(a * -2, d, F(1));  // as mills_ratio, fitted on [0, 8] alone
  const F tail = e * (d * polynomial_of_pairs(u, 0x1.7d241cp-1f, 0x1.219148p-1f, 0x1.42fdbp-2f, 0x1.db63acp-4f, 0x1.1e13acp-6f,
                                              -0x1.b1984ap-8f, -0x1.b066dep-9f, 0x1.048b5ap-10f));
  return {select<float>(x < F(0), tail, F(1) - tail), e * 0.39894228040143267794f};
#else
  return normal(x);
#endif
}
template <class T> inline Pack<T> normal_cdf(Pack<T> x) { return normal(x).cdf; }

// erf(x)/x - 1 as a function of x^2 <= 1
inline Pack<float> erf_remainder(Pack<float> z) {
  return polynomial(z, 0x1.06eba8p-3f, -0x1.81273ep-2f, 0x1.ce2d2p-4f, -0x1.b7fbb4p-6f, 0x1.5419f6p-8f,
                    -0x1.a485ecp-11f, 0x1.4ae4dp-14f);
}
inline Pack<double> erf_remainder(Pack<double> z) {
  return polynomial(z, 0x1.06eba8214db68p-3, -0x1.812746b0379c2p-2, 0x1.ce2f21a041017p-4, -0x1.b82ce31206286p-6,
                    0x1.565bccfa9a2c2p-8, -0x1.c02db072ea09cp-11, 0x1.f9a2bf733e404p-14, -0x1.f4ca94915ba7bp-17,
                    0x1.b9827ae5ef257p-20, -0x1.5c16e25de9f22p-23, 0x1.d78491a5ab82bp-27, -0x1.acdffba422ad4p-31);
}
template <class T> inline Pack<T> erf(Pack<T> x) {  // near 0 a polynomial, beyond 1 - 2 P(N > |x| sqrt 2)
  const Pack<T> size = abs(x), a = at_most<T>(T(6), size), square = a * a;
  const Pack<T> tail = exp_nonpositive(-square) * mills_ratio(a * T(1.41421356237309504880));
  const Pack<T> beyond = copysign(fma(tail, Pack<T>(T(-2)), Pack<T>(T(1))), x);
  return select<T>(size < Pack<T>(T(1)), fma(x, erf_remainder(square), x), beyond);
}

// --- sin, cos ---------------------------------------------------------------------------------
// x = n pi/2 + r, n mod 4 and r for one large finite x (Payne & Hanek 1983): the bits of x 2/pi around the
// binary point, from 192 of 2/pi that start where x's exponent makes them matter.
struct Quadrant { int n; double r; };
[[gnu::noinline, gnu::cold]] inline Quadrant reduce_large(double x) {
  using u64 = std::uint64_t;
  using u128 = unsigned __int128;
  static constexpr u64 two_over_pi[21] = {
      0, 0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561, 0xb7246e3a424dd2e0,
      0x06492eea09d1921c, 0xfe1deb1cb129a73e, 0xe88235f52ebb4484, 0xe99c7026b45f7e41, 0x3991d639835339f4,
      0x9c845f8bbdf9283b, 0x1ff897ffde05980f, 0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7, 0x4f463f669e5fea2d,
      0x7527bac7ebe5f17b, 0x3d0739f78a5292ea, 0x6bfb5fb11f8d5d08, 0x56033046fc7b6bab, 0xf0cfbc209af4361d};
  const u64 bits = std::bit_cast<u64>(x);
  const int exponent = int(bits >> 52 & 0x7ff) - 1075;  // |x| = m 2^exponent
  const u64 m = (bits & 0xfffffffffffff) | 0x10000000000000;
  const int first = 64 + exponent - 2, word = first / 64, shift = first % 64;  // the first bit worth 2 or less
  u64 w[3];
  for (int i = 0; i < 3; ++i)
    w[i] = shift == 0 ? two_over_pi[word + i]
                      : two_over_pi[word + i] << shift | two_over_pi[word + i + 1] >> (64 - shift);
  // m w mod 2^192, most significant word first: two bits before the point, 190 after
  const u128 low = u128(m) * w[2], mid = u128(m) * w[1] + u64(low >> 64);
  u64 v[3] = {m * w[0] + u64(mid >> 64), u64(mid), u64(low)};
  const int n = int((v[0] + (u64(1) << 61)) >> 62);  // to nearest
  v[0] -= u64(n) << 62;
  const bool negative = v[0] >> 63;
  if (negative) {
    v[2] = ~v[2] + 1;
    v[1] = ~v[1] + (v[2] == 0);
    v[0] = ~v[0] + (v[2] == 0 && v[1] == 0);
  }
  int scale = -61;  // of the first word below; v is shifted up until its first bit is set
  for (; !(v[0] >> 63); --scale) {
    v[0] = v[0] << 1 | v[1] >> 63;
    v[1] = v[1] << 1 | v[2] >> 63;
    v[2] <<= 1;
  }
  const u64 half_pi = 0xc90fdaa22168c235;  // pi/2 2^63
  const double r = double(u64(u128(v[0]) * half_pi >> 64)) * std::bit_cast<double>(u64(1023 + scale) << 52);
  return x < 0 ? Quadrant{-n & 3, negative ? r : -r} : Quadrant{n & 3, negative ? -r : r};
}

// sin(x + shift pi/2)
template <int shift> inline Pack<double> sine(Pack<double> x) {
  using D = Pack<double>;
  using I = D::Bits;
  const D magic = fma(x, D(0x1.45f306dc9c883p-1), D(0x1.8p52)), n = magic - D(0x1.8p52);
  I quadrant = I(to_bits(magic).v + shift);
  // pi/2 in four parts; the first three have 33 bits, so that n times them is exact. Of the sum only the
  // addition to r1 rounds.
  const D r0 = fma(n, D(-0x1.921fb544p0), x), second = n * 0x1.0b4611a6p-34, r1 = r0 - second;
  const D rest = fma(n, D(-0x1.3198a2ep-69), (r0 - r1) - second);
  D r = fma(n, D(-0x1.b839a252049c1p-104), r1 + rest);
  const D::Mask large = abs(x) > D(0x1.8p20);
  if (any<double>(large)) [[unlikely]]
    for (int i = 0; i < D::size; ++i)
      if (large[i]) {
        const bool finite = x.v[i] - x.v[i] == 0;
        const Quadrant q = finite ? reduce_large(x.v[i]) : Quadrant{0, x.v[i] - x.v[i]};
        quadrant.v[i] = q.n + shift;
        r.v[i] = q.r;
      }
  const D z = r * r;
  const D s = fma(r * z, polynomial(z, -0x1.5555555555549p-3, 0x1.111111110f87dp-7, -0x1.a01a019c1202ap-13,
                                    0x1.71de357815d7cp-19, -0x1.ae5e6687fc247p-26, 0x1.5d931834c25e2p-33), r);
  const D half = z * 0.5, w = D(1) - half;
  const D c = w + fma(z * z, polynomial(z, 0x1.555555555554cp-5, -0x1.6c16c16c15181p-10, 0x1.a01a019cb216bp-16,
                                        -0x1.27e4f80a33c01p-22, 0x1.1ee9ec189e4f8p-29, -0x1.8faeb5eb7ea63p-37),
                      (D(1) - w) - half);
  const D y = select<double>((quadrant.v & 1) != 0, c, s);
  const D signed_y = from_bits(I(to_bits(y).v ^ ((quadrant.v & 2) << 62)));
  return shift == 0 ? select<double>(x == D(0.0), x, signed_y) : signed_y;  // sin(-0) = -0
}
inline Pack<double> sin(Pack<double> x) { return sine<0>(x); }
inline Pack<double> cos(Pack<double> x) { return sine<1>(x); }
inline Pack<float> sin(Pack<float> x) { const Wide w = widen(x); return narrow(sin(w.low), sin(w.high)); }
inline Pack<float> cos(Pack<float> x) { const Wide w = widen(x); return narrow(cos(w.low), cos(w.high)); }

// --- floor, sign, rsqrt -----------------------------------------------------------------------
template <class T> inline Pack<T> floor(Pack<T> x) {
  const Pack<T> whole = T(std::int64_t(1) << MathTable<T>::fraction_bits), a = abs(x);
  const Pack<T> near = copysign((a + whole) - whole, x);  // the nearest integer, for |x| < 2^fraction_bits
  const Pack<T> below = select<T>(near > x, near - T(1), near);
  return select<T>(a < whole, copysign(below, x), x);
}
template <class T> inline Pack<T> sign(Pack<T> x) {
  const Pack<T> zero = T(0);
  return select<T>(x > zero, T(1), select<T>(x < zero, T(-1), zero));
}
template <class T> inline Pack<T> rsqrt(Pack<T> x) { return T(1) / sqrt(x); }

// --- pow --------------------------------------------------------------------------------------
// The cases of IEEE 754 around y = |x|^p for finite x other than 0.
inline Pack<double> pow_specials(Pack<double> x, Pack<double> p, Pack<double> y) {
  using D = Pack<double>;
  const D zero = 0.0, one = 1.0, inf = __builtin_inf(), half = p * 0.5;
  const D::Mask integer = floor(p) == p, odd = integer & (floor(half) != half), negative = to_bits(x).v < 0;
  y = select<double>(negative & odd, -y, y);
  y = select<double>((x < zero) & (x > -inf) & ~integer & (abs(p) < inf), D(__builtin_nan("")), y);
  const D::Mask unit = (abs(x) == one) & (abs(p) == inf);
  return select<double>((p == zero) | (x == one) | unit, one, y);
}
// log a = high + low to about 2^-68, for normal a > 0: the series of log_remainder with its two leading
// terms in twice the precision.
struct Double2 { Pack<double> high, low; };
inline Double2 log_twice(Pack<double> k, Pack<double> m) {
  using D = Pack<double>;
  const D one = 1.0, f = m - one, d = m + one, d_low = m - (d - one);
  const D s = f / d, sd = s * d, s_low = ((f - sd) - product_error(s, d, sd) - s * d_low) / d;     // s = f/(2+f)
  const D z = s * s, z_low = fma(s * s_low, D(2.0), product_error(s, s, z));                      // z = s^2
  const D p = z * polynomial(z, 0x1.9999999999b0ep-2, 0x1.249249245b008p-2, 0x1.c71c7229c212ep-3,
                             0x1.745ceaef868f9p-3, 0x1.3b1ec2e3a0589p-3, 0x1.0f83221476d9ep-3, 0x1.0e28d07b971dap-3);
  const D third2 = 0x1.5555555555555p-1, c = third2 + p, c_low = (p - (c - third2)) + 0x1.5555555555555p-55;
  const D t = z * c, t_low = product_error(z, c, t) + fma(z, c_low, z_low * c);                   // t = 2/3 z + ...
  const D u = s * t, u_low = product_error(s, t, u) + fma(s, t_low, s_low * t);                   // log m = 2s + s t
  const D e = k * 0x1.62e42fefa2p-1, s2 = s * 2.0;
  const D a = e + s2, a_low = s2 - (a - e), b = a + u, b_low = u - (b - a);
  const D low = fma(k, D(0x1.9ef35793c7673p-41), fma(s_low, D(2.0), u_low)) + (a_low + b_low);
  const D high = b + low;
  return {high, low - (high - b)};
}
inline Pack<double> pow(Pack<double> x, Pack<double> p) {
  using D = Pack<double>;
  const D a = abs(x), zero = 0.0, inf = __builtin_inf();
  const D::Mask subnormal = a < D(0x1p-1022), finite = (a > zero) & (a < inf);
  const LogSplit<double> s = split_log(a * select<double>(subnormal, D(0x1p54), D(1.0)));
  const Double2 l = log_twice(s.k - select<double>(subnormal, D(54.0), zero), s.m);
  const D log_a = select<double>(finite, l.high, log_specials(a, a));
  const D high = p * log_a;  // a^p = e^(high + low)
  const D::Mask usual = finite & (abs(high) < D(800.0));
  const D low = select<double>(usual, fma(p, l.low, product_error(p, l.high, high)), zero);
  const D c = at_most<double>(710.0, at_least<double>(-746.0, high));
  ExpSplit<double> e = split_exp<double, -1>(c);
  e.r += low;
  return pow_specials(x, p, scaled_exp(c, e));
}
inline Pack<float> pow(Pack<float> x, Pack<float> p) {
  const Wide wx = widen(x), wp = widen(p);
  const auto power = [](Pack<double> a, Pack<double> b) { return pow_specials(a, b, exp(b * log(abs(a)))); };
  return narrow(power(wx.low, wp.low), power(wx.high, wp.high));
}

}  // namespace sspo::cpu::SSPO_ISA
