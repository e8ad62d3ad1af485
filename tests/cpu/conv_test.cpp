// Convolution and its gradients against loops in double over the definition: every instruction set of this
// machine, strides, dilations, asymmetric padding, groups, and equal bits for 1, 2 and 3 threads.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "cpu/conv.hpp"
#include "sspo/base/half.hpp"
#include "sspo/tensor/arena.hpp"

using namespace sspo;
using namespace sspo::cpu;

namespace {

const std::vector<Isa> isas = [] {
  std::vector<Isa> all;
  for (Isa i : {Isa::baseline, Isa::avx2, Isa::avx512, Isa::avx512_bf16, Isa::amx_bf16})
    if (isa_supported(i)) all.push_back(i);
  return all;
}();

double value(float x) { return double(x); }
double value(double x) { return x; }
double value(bf16 x) { return double(to_float(x)); }
template <class T> constexpr double unit = sizeof(T) == 8 ? 0x1p-53 : sizeof(T) == 4 ? 0x1p-24 : 0x1p-8;
template <class T> constexpr double sum_unit = sizeof(T) == 8 ? 0x1p-53 : 0x1p-24;

template <class T>
std::vector<T> numbers(Index count, unsigned seed) {
  std::mt19937 rng(seed);
  std::uniform_real_distribution<float> u(-1, 1);
  std::vector<T> v(static_cast<std::size_t>(count));
  for (T& x : v) x = T(u(rng));
  return v;
}

std::string text(const ConvShape& s) {
  std::string t;
  for (Index i : {s.batch, s.h, s.w, s.in, s.out, s.kh, s.kw, s.stride_h, s.stride_w, s.dilation_h, s.dilation_w, s.top,
                  s.bottom, s.left, s.right, s.groups})
    t += std::to_string(i) + " ";
  return t;
}

// visit(x index, weight index, y index) for every product of the convolution.
template <class F>
void each_product(const ConvShape& s, F visit) {
  const Index in = s.in / s.groups, out = s.out / s.groups;
  for (Index b = 0; b < s.batch; ++b)
    for (Index i = 0; i < s.out_h(); ++i)
      for (Index j = 0; j < s.out_w(); ++j)
        for (Index u = 0; u < s.kh; ++u)
          for (Index v = 0; v < s.kw; ++v) {
            const Index y = i * s.stride_h + u * s.dilation_h - s.top, x = j * s.stride_w + v * s.dilation_w - s.left;
            if (y < 0 || y >= s.h || x < 0 || x >= s.w) continue;
            for (Index o = 0; o < s.out; ++o)
              for (Index c = 0; c < in; ++c)
                visit(((b * s.h + y) * s.w + x) * s.in + o / out * in + c, ((o * s.kh + u) * s.kw + v) * in + c,
                      ((b * s.out_h() + i) * s.out_w() + j) * s.out + o);
          }
}

// What a result must be, and how far rounding may move it.
struct Truth {
  std::vector<double> sum, magnitude;
  explicit Truth(std::size_t n) : sum(n), magnitude(n) {}
  void add(Index at, double product) { sum[std::size_t(at)] += product, magnitude[std::size_t(at)] += std::abs(product); }
  void add_all(const auto& v) {
    for (std::size_t i = 0; i < sum.size(); ++i) add(Index(i), value(v[i]));
  }
  template <class T>
  Index wrong(const std::vector<T>& got, Index terms) const {
    Index n = 0;
    for (std::size_t i = 0; i < got.size(); ++i)
      n += !(std::abs(value(got[i]) - sum[i]) <= 4 * sum_unit<T> * std::log2(double(terms) + 4) * magnitude[i] +
                                                     1.01 * unit<T> * std::abs(sum[i]) + 1e-30);
    return n;
  }
};

template <class T, class Gradient>
void check(ConvOf ConvKernels::*of, const ConvShape& s, bool extras) {
  INFO("shape ", text(s), " extras ", extras);
  const Index pixels = s.batch * s.out_h() * s.out_w(), ig = s.in / s.groups;
  const auto x = numbers<T>(s.batch * s.h * s.w * s.in, 1), w = numbers<T>(s.out * s.kh * s.kw * ig, 2);
  const auto gy = numbers<T>(pixels * s.out, 3), y0 = numbers<T>(pixels * s.out, 4);
  const auto bias = numbers<T>(s.out, 5), sample_bias = numbers<T>(s.batch * s.out, 6);
  const auto gw0 = numbers<Gradient>(Index(w.size()), 7), gb0 = numbers<Gradient>(s.out, 8);
  const auto gx0 = numbers<T>(Index(x.size()), 9);

  Truth y(gy.size()), gx(x.size()), gw(w.size()), gb(std::size_t(s.out));
  each_product(s, [&](Index xi, Index wi, Index yi) {
    y.add(yi, value(x[xi]) * value(w[wi]));
    gx.add(xi, value(gy[yi]) * value(w[wi]));
    gw.add(wi, value(gy[yi]) * value(x[xi]));
  });
  for (Index i = 0; i < pixels * s.out; ++i) gb.add(i % s.out, value(gy[i]));
  if (extras) {  // one bias a sample, residual; gradients added to what is there
    for (Index i = 0; i < pixels * s.out; ++i) y.add(i, value(sample_bias[i / (pixels / s.batch) / s.out * s.out + i % s.out]));
    y.add_all(y0), gx.add_all(gx0), gw.add_all(gw0), gb.add_all(gb0);
  } else {
    for (Index i = 0; i < pixels * s.out; ++i) y.add(i, value(bias[i % s.out]));
  }

  for (const Isa isa : isas) {
    INFO("isa ", isa_name(isa));
    const ConvOf& k = conv_kernels(isa).*of;
    std::vector<T> first_y, first_gx;
    std::vector<Gradient> first_gw, first_gb;
    for (int threads = 1; threads <= 3; ++threads) {
      Arena arena({});
      const Context ctx{threads, isa, &arena};
      std::vector<T> got_y(gy.size(), T(NAN)), got_gx = extras ? gx0 : std::vector<T>(x.size(), T(NAN));
      std::vector<Gradient> got_gw = extras ? gw0 : std::vector<Gradient>(w.size(), Gradient(NAN));
      std::vector<Gradient> got_gb = extras ? gb0 : std::vector<Gradient>(std::size_t(s.out), Gradient(NAN));
      ConvArgs a{.shape = s, .x = x.data(), .weight = w.data(), .y = got_y.data()};
      void* packed = nullptr;
      if (extras) {
        packed = arena.allocate(k.packed_weight_bytes(s), "packed");
        k.pack_weight(ctx, s, w.data(), packed);
        a.sample_bias = sample_bias.data(), a.residual = y0.data(), a.packed_weight = packed, a.weight = nullptr;
      } else {
        a.bias = bias.data();
      }
      k.forward(ctx, a);
      k.data_gradient(ctx, {.shape = s, .gy = gy.data(), .weight = w.data(), .gx = got_gx.data(), .accumulate = extras});
      k.weight_gradient(ctx, {.shape = s, .x = x.data(), .gy = gy.data(), .gw = got_gw.data(), .accumulate = extras});
      k.bias_gradient(ctx, pixels, s.out, gy.data(), got_gb.data(), extras);
      arena.release(packed);
      CHECK(arena.stats().in_use == 0);
      if (extras && threads == 1) {  // the same without panels: sums of another order, perhaps
        std::vector<T> again(gy.size(), T(NAN));
        a.packed_weight = nullptr, a.weight = w.data(), a.y = again.data();
        k.forward(ctx, a);
        CHECK(y.wrong(again, s.kh * s.kw * ig) == 0);
      }
      if (threads == 1) {
        CHECK(y.wrong(got_y, s.kh * s.kw * ig) == 0);
        CHECK(gx.wrong(got_gx, s.kh * s.kw * s.out / s.groups) == 0);
        CHECK(gw.wrong(got_gw, pixels) == 0);
        CHECK(gb.wrong(got_gb, pixels) == 0);
        first_y = got_y, first_gx = got_gx, first_gw = got_gw, first_gb = got_gb;
      } else {
        const auto same = [](const auto& p, const auto& q) { return p.empty() || std::memcmp(p.data(), q.data(), p.size() * sizeof p[0]) == 0; };
        CHECK(same(got_y, first_y));
        CHECK(same(got_gx, first_gx));
        CHECK(same(got_gw, first_gw));
        CHECK(same(got_gb, first_gb));
      }
    }
  }
}

void check_all(const ConvShape& s) {
  for (bool extras : {false, true}) {
    check<float, float>(&ConvKernels::f32, s, extras);
    check<double, double>(&ConvKernels::f64, s, extras);
    check<bf16, bf16>(&ConvKernels::bf16, s, extras);
    check<bf16, float>(&ConvKernels::bf16_f32, s, extras);
  }
}

ConvShape square(Index batch, Index size, Index in, Index out, Index kernel, Index stride, Index pad, Index dilation = 1,
                 Index groups = 1) {
  return {.batch = batch, .h = size, .w = size, .in = in, .out = out, .kh = kernel, .kw = kernel, .stride_h = stride,
          .stride_w = stride, .dilation_h = dilation, .dilation_w = dilation, .top = pad, .bottom = pad, .left = pad,
          .right = pad, .groups = groups};
}

}  // namespace

TEST_CASE("conv: the shapes of a UNet") {
  check_all(square(2, 9, 16, 24, 3, 1, 1));
  check_all(square(2, 9, 16, 24, 1, 1, 0));
  check_all(square(1, 10, 16, 16, 3, 2, 1));   // downsampling
  check_all(square(1, 8, 4, 40, 3, 1, 1));     // first convolution
  check_all(square(1, 8, 40, 4, 3, 1, 1));     // last convolution
  check_all(square(1, 4, 80, 520, 3, 1, 1));   // few pixels, many channels
}

TEST_CASE("conv: odd sizes, strides, dilations, padding") {
  check_all(square(1, 1, 1, 1, 1, 1, 0));
  check_all(square(3, 7, 5, 7, 3, 1, 1));
  check_all(square(1, 11, 3, 5, 5, 3, 2));
  check_all(square(2, 9, 6, 4, 3, 1, 2, 2));
  check_all(square(1, 13, 3, 9, 3, 2, 3, 3));
  check_all(square(1, 12, 3, 9, 2, 4, 0, 2));  // stride beyond the taps: some of gx is 0
  check_all(square(2, 8, 3, 17, 4, 4, 0));     // patches
  check_all({.batch = 2, .h = 6, .w = 9, .in = 3, .out = 8, .kh = 2, .kw = 3, .stride_h = 1, .stride_w = 2,
             .dilation_h = 2, .dilation_w = 1, .top = 0, .bottom = 1, .left = 2, .right = 1});
  check_all({.h = 8, .w = 8, .in = 6, .out = 6, .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2, .bottom = 1, .right = 1});
}

TEST_CASE("conv: groups and depthwise") {
  check_all(square(2, 6, 12, 9, 3, 1, 1, 1, 3));
  check_all(square(1, 7, 8, 8, 3, 2, 1, 1, 8));
  check_all(square(1, 5, 6, 4, 1, 1, 0, 1, 2));
}

TEST_CASE("conv: many pixels") {
  check<float, float>(&ConvKernels::f32, square(5, 24, 6, 10, 3, 1, 1), true);
  check<bf16, float>(&ConvKernels::bf16_f32, square(5, 24, 6, 10, 3, 1, 1), false);
}

TEST_CASE("conv: pixels enough for copied images, channels enough for outer products") {
  const auto check_both = [](const ConvShape& s) {
    check<float, float>(&ConvKernels::f32, s, true);
    check<double, double>(&ConvKernels::f64, s, false);
  };
  check_both(square(70, 4, 16, 20, 3, 1, 1));     // whole images a task
  check_both(square(9, 12, 16, 3, 3, 1, 1));
  check_both(square(2, 34, 16, 24, 3, 1, 1));     // rows of images
  check_both(square(1, 33, 32, 8, 3, 1, 2, 2));   // dilation: outer products alone
  check_both(square(5, 33, 16, 8, 3, 2, 1));
  check_both(square(8, 24, 16, 8, 1, 2, 0));
  check_both(square(2, 24, 3, 16, 3, 1, 1));      // a picture's channels
  check_both(square(3, 9, 2, 32, 3, 1, 1, 2));
  check_both({.batch = 3, .h = 41, .w = 30, .in = 16, .out = 8, .kh = 2, .kw = 5, .stride_h = 2, .stride_w = 1, .dilation_h = 3, .top = 1, .bottom = 4, .left = 6, .right = 0});
  check_both({.batch = 4, .h = 40, .w = 37, .in = 32, .out = 16, .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2, .bottom = 1, .right = 1, .groups = 2});
  check_both({.batch = 300, .h = 2, .w = 2, .in = 16, .out = 16, .kh = 3, .kw = 3, .top = 3, .bottom = 3, .left = 3, .right = 3});  // y wider than x
}

TEST_CASE("conv: minimal filtering") {
  check<float, float>(&ConvKernels::f32, square(1, 16, 32, 32, 3, 1, 1), true);
  check<float, float>(&ConvKernels::f32, square(1, 33, 64, 64, 3, 1, 1), true);
  check<float, float>(&ConvKernels::f32, square(2, 19, 64, 32, 3, 1, 0), false);
  check<float, float>(&ConvKernels::f32, square(1, 15, 32, 64, 3, 1, 3), false);
  check<float, float>(&ConvKernels::f32, square(20, 4, 32, 96, 3, 1, 1), false);
  check<float, float>(&ConvKernels::f32, square(1, 17, 224, 160, 3, 1, 1), false);  // sums in two blocks
  check<float, float>(&ConvKernels::f32, {.batch = 2, .h = 13, .w = 17, .in = 64, .out = 64, .kh = 3, .kw = 3, .bottom = 2, .left = 1}, false);
  check<float, float>(&ConvKernels::f32, square(1, 16, 192, 256, 3, 1, 1), false);  // few tiles, a large weight
  check<float, float>(&ConvKernels::f32, square(230, 5, 128, 32, 3, 1, 1), true);   // 920 tiles: the weight's gradient in two chunks
  for (const bool extras : {false, true}) {
    check<bf16, bf16>(&ConvKernels::bf16, square(2, 17, 64, 96, 3, 1, 1), extras);
    check<bf16, float>(&ConvKernels::bf16_f32, square(1, 16, 192, 256, 3, 1, 1), extras);
  }
}

template <class T>
void check_not_finite(ConvOf ConvKernels::*of, float bad, Isa isa) {
  INFO("isa ", isa_name(isa), " value ", bad, " bytes ", sizeof(T));
  const ConvShape s = square(4, 18, 64, 64, 3, 1, 1);
  const Index pixels = s.batch * s.h * s.w;
  const ConvOf& k = conv_kernels(isa).*of;
  Arena arena({});
  const Context ctx{2, isa, &arena};
  auto x = numbers<T>(pixels * s.in, 1), w = numbers<T>(s.out * 9 * s.in, 2);
  for (T& v : w) v = T(float(std::abs(value(v))) + 0.5f);  // no infinities of two signs
  const Index at = (18 + 7) * 18 + 9;                      // a pixel of the second sample
  x[std::size_t(at * s.in + 5)] = T(bad);
  std::vector<T> y(std::size_t(pixels * s.out)), gx(x.size());
  k.forward(ctx, {.shape = s, .x = x.data(), .weight = w.data(), .y = y.data()});
  k.data_gradient(ctx, {.shape = s, .gy = x.data(), .weight = w.data(), .gx = gx.data()});
  Index wrong = 0;
  for (Index i = 0; i < pixels * s.out; ++i) {
    const Index p = i / s.out, row = p / 18 - at / 18, column = p % 18 - at % 18;
    const bool near = std::abs(row) <= 1 && std::abs(column) <= 1;
    for (const double got : {value(y[std::size_t(i)]), value(gx[std::size_t(i)])})
      wrong += near && bad != 3e38f ? !(std::isnan(bad) ? std::isnan(got) : got == double(bad)) : near ? std::isnan(got) : !std::isfinite(got);
  }
  CHECK(wrong == 0);
  for (T& v : y) v = T(1.0f);
  for (const bool add : {false, true}) {
    std::vector<T> gw(w.size(), T(add ? 1.0f : NAN));
    k.weight_gradient(ctx, {.shape = s, .x = x.data(), .gy = y.data(), .gw = gw.data(), .accumulate = add});
    for (std::size_t i = 0; i < gw.size(); ++i) {
      const double got = value(gw[i]);
      wrong += i % 64 != 5 || bad == 3e38f ? !std::isfinite(got) : std::isnan(bad) ? !std::isnan(got) : got != double(bad);
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("conv: minimal filtering gives NaN and infinity where direct sums do") {
  for (const float bad : {NAN, INFINITY, 3e38f})
    for (const Isa isa : isas) {
      check_not_finite<float>(&ConvKernels::f32, bad, isa);
      check_not_finite<bf16>(&ConvKernels::bf16, bad, isa);
    }
}

TEST_CASE("conv: no samples") {
  ConvShape s = square(0, 6, 4, 8, 3, 1, 1);
  check_all(s);  // gw and gb are 0, or stay what they were
}
