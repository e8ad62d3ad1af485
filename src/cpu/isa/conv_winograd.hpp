// Convolutions of 3x3 taps and stride 1 by minimal filtering, F(4x4, 3x3): 36 products for sixteen outputs in place of 144
// (Winograd 1980; for networks: Lavin & Gray 2016, section 4.3).
//
//   Y = Aᵀ [ Σ_c (G g Gᵀ) ⊙ (Bᵀ d B) ] A       d: 6x6 pixels, g: 3x3 taps, Y: 4x4 pixels of the result
//
// In f32, whatever the elements are. Its sums differ from direct ones in rounding, not in size: decision 010 has the figures.
// What they are not is faithful to NaN and infinity, which would spread over a tile: then nothing is promised and the caller computes directly.
#pragma once
#include "cpu/isa/gemm_engine.hpp"

namespace sspo::cpu::SSPO_ISA {

template <class T>
struct Winograd {
  Index batch, h, w, in;        // x [batch, h, w, in]
  Index out_h, out_w, out;      // y [batch, out_h, out_w, out]
  Index top, left;              // padding
  const T* x;

  Index across() const { return ceil_div(out_w, 4); }
  Index down() const { return ceil_div(out_h, 4); }
  Index tiles() const { return batch * across() * down(); }  // of 4x4 pixels of y
};

template <class T> bool winograd_pays(const Winograd<T>&);
// False: a sum is not finite; y holds anything, and nothing but y was written.
// weight [out, 3, 3, in]; or, backwards, [in, 3, 3, out], its taps from last to first: the data gradient.
template <class T> bool winograd(const Context&, const Winograd<T>&, const T* weight, bool backwards, T* y, const Finish<T>&);
// The gradient of the weight, F(3x3, 4x4): gw (+)= Gᵀ [ Σ_tiles (Bᵀ d B) ⊙ (A dY Aᵀ) ] G.   gy: as y
template <class T> bool winograd_weight_pays(const Winograd<T>&);
// False: a sum is not finite; gw holds anything, or, if it was to be added to, what it did.
template <class T, class Out> bool winograd_weight_gradient(const Context&, const Winograd<T>&, const T* gy, Out* gw, bool accumulate);

// 36 planes of transformed tiles, one after the other, tile by tile: v[plane][tile][row].
struct Planes {
  float* data;
  Index row, plane;  // words from one tile, one plane to the next
};
inline constexpr int planes = 36;
// From one plane to the next an odd number of cache lines: planes multiples of 4 KiB apart would crowd a few sets of L1.
inline Index plane_words(Index least) { return round_up(least, 32) + 16; }
// Bᵀ d B;  pixels outside the image are `zeros`.
template <class T> void transform_pixels(const Winograd<T>&, Range tiles, const T* zeros, const Planes& to);

inline bool all_zero(Pack<float> x) {
  for (int lane = 0; lane < Pack<float>::size; ++lane)
    if (x[lane] != 0) return false;  // NaN too
  return true;
}

// One dimension, F(4, 3): values at the points 0, √½, -√½, √2, -√2 and infinity. They are reciprocals of each other, which keeps all
// numbers below 3 and the rounding at half of that of 0, ±1, ±2. The rows of p and -p differ in the sign of odd powers alone.
namespace lines {

using F = Pack<float>;
inline constexpr float root_half = 0.70710678118654752f, root_two = 1.41421356237309505f;
inline F times(float a, F x) { return F(a) * x; }
inline F plus(F x, float a, F y) { return fma(F(a), y, x); }  // x + a y

//        | 1  0  -5/2   0   1 0 |
//   Bᵀ = | 0 -2p  -2    p   1 0 |  p = ±√½
//        | 0 -q/2 -1/2  q   1 0 |  q = ±√2
//        | 0  1   0   -5/2  0 1 |
inline constexpr auto pixels = [](const F (&d)[6], F (&v)[6]) __attribute__((always_inline)) {
  v[0] = plus(d[0] + d[4], -2.5f, d[2]), v[5] = plus(d[1] + d[5], -2.5f, d[3]);
  const F even_p = plus(d[4], -2.0f, d[2]), odd_p = plus(d[3], -2.0f, d[1]), even_q = plus(d[4], -0.5f, d[2]), odd_q = plus(d[3], -0.5f, d[1]);
  v[1] = plus(even_p, root_half, odd_p), v[2] = plus(even_p, -root_half, odd_p);
  v[3] = plus(even_q, root_two, odd_q), v[4] = plus(even_q, -root_two, odd_q);
};

//   G: g₀;  -2/3 (g₀ ± √½ g₁ + ½ g₂);  1/6 (g₀ ± √2 g₁ + 2 g₂);  g₂
inline constexpr auto taps = [](const F (&g)[3], F (&u)[6]) __attribute__((always_inline)) {
  const F even_p = times(-2.0f / 3, plus(g[0], 0.5f, g[2])), even_q = times(1.0f / 6, plus(g[0], 2.0f, g[2]));
  u[0] = g[0], u[5] = g[2];
  u[1] = plus(even_p, -2.0f / 3 * root_half, g[1]), u[2] = plus(even_p, 2.0f / 3 * root_half, g[1]);
  u[3] = plus(even_q, root_two / 6, g[1]), u[4] = plus(even_q, -root_two / 6, g[1]);
};
inline constexpr auto taps_transposed = [](const F (&u)[6], F (&g)[3]) __attribute__((always_inline)) {  // Gᵀ
  const F even_p = times(-2.0f / 3, u[1] + u[2]), even_q = times(1.0f / 6, u[3] + u[4]);
  g[0] = u[0] + (even_p + even_q);
  g[1] = plus(times(-2.0f / 3 * root_half, u[1] - u[2]), root_two / 6, u[3] - u[4]);
  g[2] = plus(plus(u[5], 0.5f, even_p), 2.0f, even_q);
};

//        | 1 1   1   1   1   0 |
//   Aᵀ = | 0 p  -p   q  -q   0 |  p = √½, q = √2
//        | 0 ½   ½   2   2   0 |
//        | 0 p/2 -p/2 2q -2q 1 |
inline constexpr auto sums = [](const F (&m)[6], F (&y)[4]) __attribute__((always_inline)) {
  const F even_p = m[1] + m[2], odd_p = m[1] - m[2], even_q = m[3] + m[4], odd_q = m[3] - m[4];
  y[0] = m[0] + (even_p + even_q);
  y[1] = plus(times(root_half, odd_p), root_two, odd_q);
  y[2] = plus(times(0.5f, even_p), 2.0f, even_q);
  y[3] = plus(plus(m[5], root_half / 2, odd_p), 2 * root_two, odd_q);
};
inline constexpr auto sums_transposed = [](const F (&y)[4], F (&z)[6]) __attribute__((always_inline)) {  // A
  const F even_p = plus(y[0], 0.5f, y[2]), odd_p = plus(y[1], 0.5f, y[3]), even_q = plus(y[0], 2.0f, y[2]), odd_q = plus(y[1], 2.0f, y[3]);
  z[0] = y[0], z[5] = y[3];
  z[1] = plus(even_p, root_half, odd_p), z[2] = plus(even_p, -root_half, odd_p);
  z[3] = plus(even_q, root_two, odd_q), z[4] = plus(even_q, -root_two, odd_q);
};

}  // namespace lines

// L X Lᵀ, a column and then a row at a time:   line(x, y) computes L x, load(i, j) gives X, store(i, j, y) takes the result.
template <int From, int To, class Line, class Load, class Store>
[[gnu::always_inline]] inline void both_ways(const Line& line, const Load& load, const Store& store) {
  using F = Pack<float>;
  F half[To][From];
  unroll<From>([&](auto j) __attribute__((always_inline)) {
    F x[From], y[To];
    unroll<From>([&](auto i) __attribute__((always_inline)) { x[i] = load(i, j); });
    line(x, y);
    unroll<To>([&](auto i) __attribute__((always_inline)) { half[i][j] = y[i]; });
  });
  unroll<To>([&](auto i) __attribute__((always_inline)) {
    F y[To];
    line(half[i], y);
    unroll<To>([&](auto j) __attribute__((always_inline)) { store(i, j, y[j]); });
  });
}

}  // namespace sspo::cpu::SSPO_ISA
