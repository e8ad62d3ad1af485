// A convolution to at most four channels: a UNet's noise, a decoder's picture. As a product most columns of a tile would lie idle; here the
// lanes of a register run along the input channels, and a pixel's sums are added up across the lanes at the end.
//
// Owns:  task = 96 positions, six at a time beside each other: 6 x `out` registers of sums.
// Costs: 2 positions taps in out FLOPs; x is read from L1 or L2 once a tap, the weight from L1 once a tap and six positions.
#pragma once
#include "cpu/isa/conv_patches.hpp"

namespace sspo::cpu::SSPO_ISA {

inline constexpr Index few_outputs_most = 4;

inline bool few_outputs_pay(Index in, Index out) { return out <= few_outputs_most && in % Pack<float>::size == 0; }

// Sums of `Pixels` positions from p on, to[i][o]; weight [N, taps, in].
template <int N, int Pixels, class T>
[[gnu::noinline]] void few_outputs_sums(const ConvPatches<T>& x, typename ConvPatches<T>::Position p, Index count, const T* weight, const T* zeros, float (*to)[few_outputs_most]) {
  using F = Pack<float>;
  F acc[Pixels][N];
  unroll<Pixels, N>([&](auto i, auto o) __attribute__((always_inline)) { acc[i][o] = zero<float>(); });
  typename ConvPatches<T>::Position at[Pixels];
  for (int i = 0; i < Pixels; ++i) at[i] = p, p = i + 1 < count ? x.next(p) : p;  // the last one again where there are fewer
  const Index filter = x.down.count * x.across.count * x.channels;
  for (Index u = 0; u < x.down.count; ++u)
    for (Index v = 0; v < x.across.count; ++v, weight += x.channels) {
      const T* pixel[Pixels];
      for (int i = 0; i < Pixels; ++i) {
        const T* const seen = x.seen(at[i], u, v);
        pixel[i] = seen ? seen : zeros;
      }
      for (Index c = 0; c < x.channels; c += F::size) {
        F w[N];
        unroll<N>([&](auto o) __attribute__((always_inline)) { w[o] = load_as<float>(weight + o * filter + c); });
        unroll<Pixels>([&](auto i) __attribute__((always_inline)) {
          const F d = load_as<float>(pixel[i] + c);
          unroll<N>([&](auto o) __attribute__((always_inline)) { acc[i][o] = fma(d, w[o], acc[i][o]); });
        });
      }
    }
  unroll<Pixels, N>([&](auto i, auto o) __attribute__((always_inline)) { to[i][o] = reduce_add(acc[i][o]); });
}

// y = finished patches(x) weightᵀ for `out` channels, all of them in one group.
template <class T>
void few_outputs(const Context& ctx, const Size& s, const ConvPatches<T>& x, const T* weight, const Rows<T>& y, const Finish<T>& f) {
  constexpr int pixels = tile_rows / 2;  // what the registers hold of sums, beside the weights and one pixel
  constexpr Index at_once = 96;
  const auto sums = s.n == 1 ? few_outputs_sums<1, pixels, T> : s.n == 2 ? few_outputs_sums<2, pixels, T> : s.n == 3 ? few_outputs_sums<3, pixels, T> : few_outputs_sums<4, pixels, T>;
  const Workspace w(ctx, std::size_t(x.channels) * sizeof(T));
  T* const zeros = w.as<T>();
  __builtin_memset(static_cast<void*>(zeros), 0, std::size_t(x.channels) * sizeof(T));
  parallel_for(ctx, ceil_div(s.m, at_once), [&](Index task, int) {
    const Range mine = piece(task, at_once, s.m);
    for (Index i = mine.begin; i < mine.end; i += pixels) {
      float sum[pixels][few_outputs_most];
      const Index count = min(Index(pixels), mine.end - i);
      sums(x, x.position(i), count, weight, zeros, sum);
      for (Index q = 0; q < count; ++q) {
        T* const row = y.row(i + q);
        const T* const bias = !f.bias ? nullptr : f.bias + (f.bias_group ? (i + q) / f.bias_group * f.bias_ld : 0);
        finish_row<float, T>(sum[q], s.n, bias, f.residual ? f.residual + (row - y.data) : nullptr, f.act, f.accumulate, row);
      }
    }
  });
}

}  // namespace sspo::cpu::SSPO_ISA
