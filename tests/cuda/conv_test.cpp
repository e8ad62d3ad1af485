// The device's convolutions and their gradients against loops in double over the definition: strides, dilations, asymmetric padding,
// groups, big tiles; the same bits in any schedule; and the traffic that gemm_tiles.cuh promises.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "conv.hpp"
#include "device_test.hpp"
#include "sspo/base/error.hpp"

using namespace sspo;
using namespace sspo::cuda;
using kernels::ConvArgs;
using kernels::ConvShape;

namespace {

double value(double x) { return x; }
double value(bf16 x) { return double(to_float(x)); }
template <class T> constexpr double unit = sizeof(T) == 8 ? 0x1p-53 : sizeof(T) == 4 ? 0x1p-24 : 0x1p-8;
template <class T> constexpr double sum_unit = sizeof(T) == 8 ? 0x1p-53 : 0x1p-24;
constexpr double tf32_unit = 0x1p-11;

template <class T> std::vector<T> numbers(Index count, unsigned seed) {
  std::mt19937 rng(seed);
  std::uniform_real_distribution<float> u(-1, 1);
  std::vector<T> v(static_cast<std::size_t>(count));
  for (T& x : v) x = T(u(rng));
  return v;
}

std::string text(const ConvShape& s) {
  std::string t;
  for (Index i : {s.batch, s.h, s.w, s.in, s.out, s.kh, s.kw, s.stride_h, s.stride_w, s.dilation_h, s.dilation_w, s.top, s.bottom, s.left, s.right, s.groups})
    t += std::to_string(i) + " ";
  return t;
}

// visit(x index, weight index, y index) for every product of the convolution.
template <class F> void each_product(const ConvShape& s, F visit) {
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
                visit(std::size_t(((b * s.h + y) * s.w + x) * s.in + o / out * in + c), std::size_t(((o * s.kh + u) * s.kw + v) * in + c),
                      std::size_t(((b * s.out_h() + i) * s.out_w() + j) * s.out + o));
          }
}

// What a result must be, and how far rounding may move it: the sums' walk of sqrt(terms) steps, the result's own rounding.
struct Truth {
  std::vector<double> sum, squares;
  explicit Truth(std::size_t n) : sum(n), squares(n) {}
  void add(std::size_t at, double product) { sum[at] += product, squares[at] += product * product; }
  void add_all(const auto& v) {
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += value(v[i]);
  }
  template <class T> Index wrong(const std::vector<T>& got, Index terms, bool tf32) const {
    Index n = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double walk = 4 * sum_unit<T> * std::sqrt(double(terms)) + (tf32 ? 5 * tf32_unit : 0);
      n += !(std::abs(value(got[i]) - sum[i]) <= walk * std::sqrt(squares[i]) + 4 * sum_unit<T> * (std::abs(sum[i]) + 1) + 1.01 * unit<T> * std::abs(sum[i]));
    }
    return n;
  }
};

template <class T> bool same(const std::vector<T>& a, const std::vector<T>& b) { return a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0; }

void expect_no_findings() {
  for (const Finding& f : findings()) MESSAGE(f.text());
  CHECK(findings().empty());
  reset_findings();
}

// extras: one bias a sample, a residual; gradients added to what is there.
template <class T, class Gradient> void check(const ConvShape& s, bool extras, bool tf32 = false, bool repeat = true) {
  INFO("shape ", text(s), " extras ", extras, " tf32 ", tf32, " bytes ", sizeof(T), " gradient ", sizeof(Gradient));
  const Index pixels = s.batch * s.out_h() * s.out_w(), in = s.in / s.groups;
  const auto x = numbers<T>(s.batch * s.h * s.w * s.in, 1), w = numbers<T>(s.out * s.kh * s.kw * in, 2);
  const auto gy = numbers<T>(pixels * s.out, 3), y0 = numbers<T>(pixels * s.out, 4);
  const auto bias = numbers<T>(extras ? s.batch * s.out : s.out, 5);
  const auto gw0 = numbers<Gradient>(Index(w.size()), 7);
  const auto gx0 = numbers<T>(Index(x.size()), 9);

  Truth y(gy.size()), gx(x.size()), gw(w.size()), gb(std::size_t(s.out));
  each_product(s, [&](std::size_t xi, std::size_t wi, std::size_t yi) {
    y.add(yi, value(x[xi]) * value(w[wi]));
    gx.add(xi, value(gy[yi]) * value(w[wi]));
    gw.add(wi, value(gy[yi]) * value(x[xi]));
  });
  for (Index i = 0; i < pixels * s.out; ++i) {
    gb.add(std::size_t(i % s.out), value(gy[std::size_t(i)]));
    y.sum[std::size_t(i)] += value(bias[std::size_t(extras ? i / (pixels / s.batch) / s.out * s.out + i % s.out : i % s.out)]);
  }
  if (extras) y.add_all(y0), gx.add_all(gx0), gw.add_all(gw0);

  TestDevice d;
  const Context ctx{d.stream, d.scratch, tf32};
  const DeviceArray<T> dx(d, x), dw(d, w), dgy(d, gy), dy0(d, y0), dbias(d, bias);
  struct Results {
    std::vector<T> y, gx;
    std::vector<Gradient> gw, gb;
  };
  const auto run = [&]() -> Results {
    const DeviceArray<T> dy(d, gy.size()), dgx(d, gx0);
    const DeviceArray<Gradient> dgw(d, gw0), dgb(d, std::size_t(s.out));
    ConvArgs a{.shape = s, .x = dx.data(), .weight = dw.data(), .y = dy.data()};
    (extras ? a.sample_bias : a.bias) = dbias.data();
    if (extras) a.residual = dy0.data();
    conv(ctx, dtype_of<T>, a);
    conv_data_gradient(ctx, dtype_of<T>, {.shape = s, .gy = dgy.data(), .weight = dw.data(), .gx = dgx.data(), .accumulate = extras});
    conv_weight_gradient(ctx, dtype_of<T>, dtype_of<Gradient>, {.shape = s, .x = dx.data(), .gy = dgy.data(), .gw = dgw.data(), .accumulate = extras});
    conv_bias_gradient(ctx, dtype_of<T>, dtype_of<Gradient>, pixels, s.out, dgy.data(), dgb.data());
    return {dy.host(), dgx.host(), dgw.host(), dgb.host()};
  };
  const Results first = run();
  CHECK(y.wrong(first.y, s.kh * s.kw * in, tf32) == 0);
  CHECK(gx.wrong(first.gx, s.kh * s.kw * s.out / s.groups, tf32) == 0);
  CHECK(gw.wrong(first.gw, pixels, tf32) == 0);
  CHECK(gb.wrong(first.gb, pixels, false) == 0);
  if (repeat) {
    set_schedule(3);
    const Results again = run();
    set_schedule(0);
    CHECK(same(first.y, again.y));
    CHECK(same(first.gx, again.gx));
    CHECK(same(first.gw, again.gw));
    CHECK(same(first.gb, again.gb));
  }
  expect_no_findings();
}

void check_all(const ConvShape& s) {
  for (bool extras : {false, true}) {
    check<float, float>(s, extras);
    check<float, float>(s, extras, true);
    check<double, double>(s, extras);
    check<bf16, bf16>(s, extras);
    check<bf16, float>(s, extras);
  }
}

ConvShape square(Index batch, Index size, Index in, Index out, Index kernel, Index stride, Index pad, Index dilation = 1, Index groups = 1) {
  return {.batch = batch, .h = size, .w = size, .in = in, .out = out, .kh = kernel, .kw = kernel, .stride_h = stride, .stride_w = stride,
          .dilation_h = dilation, .dilation_w = dilation, .top = pad, .bottom = pad, .left = pad, .right = pad, .groups = groups};
}

}  // namespace

TEST_CASE("conv on the device: the shapes of a UNet") {
  check_all(square(2, 5, 16, 24, 3, 1, 1));
  check_all(square(2, 5, 16, 24, 1, 1, 0));
  check_all(square(1, 8, 16, 16, 3, 2, 1));  // downsampling
  check_all(square(1, 5, 4, 40, 3, 1, 1));   // first convolution
  check_all(square(1, 5, 40, 4, 3, 1, 1));   // last convolution
}

TEST_CASE("conv on the device: kernels, strides, padding, dilation, groups") {
  check_all({.batch = 2, .h = 7, .w = 9, .in = 3, .out = 5, .kh = 3, .kw = 2, .stride_h = 2, .stride_w = 3, .top = 1, .right = 2});
  check_all({.batch = 1, .h = 9, .w = 8, .in = 8, .out = 8, .kh = 2, .kw = 3, .stride_h = 1, .stride_w = 2, .dilation_h = 2,
             .dilation_w = 3, .top = 2, .bottom = 1, .left = 3, .right = 4});
  check_all({.batch = 1, .h = 6, .w = 6, .in = 8, .out = 8, .kh = 3, .kw = 3, .stride_h = 4, .stride_w = 2, .dilation_h = 2,
             .dilation_w = 2, .top = 1, .bottom = 1, .left = 1, .right = 1});  // residues without taps
  check_all(square(1, 5, 16, 32, 3, 1, 1, 1, 2));
  check_all(square(1, 5, 6, 6, 3, 1, 1, 1, 6));  // depthwise
  check_all(square(1, 5, 6, 9, 1, 1, 0, 1, 3));
  check_all({.batch = 3, .h = 1, .w = 1, .in = 1, .out = 1});
  check_all({.batch = 1, .h = 4, .w = 4, .in = 8, .out = 8, .kh = 1, .kw = 1, .stride_h = 2, .stride_w = 2});
}

TEST_CASE("conv on the device: slices of taps and of pixels") {
  check<float, float>(square(1, 4, 128, 8, 3, 1, 1), true);
  check<bf16, bf16>(square(1, 4, 128, 16, 3, 1, 1), false);
  check<bf16, bf16>(square(1, 33, 8, 8, 3, 1, 1), true, false, false);
  check<float, float>(square(1, 33, 8, 8, 3, 1, 1), true, true, false);
}

TEST_CASE("conv on the device: big tiles") {  // 128 groups of 72 channels: one tile each, whose corner alone is used
  const ConvShape s = {.batch = 1, .h = 5, .w = 13, .in = 128 * 72, .out = 128 * 72, .groups = 128};
  reset_counters();
  check<bf16, bf16>(s, true, false, false);
  for (const KernelCounters& c : counters())
    if (c.kernel == "conv_mma" || c.kernel == "conv_data_gradient_mma") CHECK(c.blocks == 128);
  check<float, float>({.batch = 1, .h = 5, .w = 13, .in = 128 * 8, .out = 128 * 72, .kw = 2, .right = 1, .groups = 128}, true, false, false);
}

TEST_CASE("conv on the device: no image, no pixel") {
  TestDevice d;
  const ConvShape s = {.batch = 0, .h = 3, .w = 3, .in = 8, .out = 8, .kh = 3, .kw = 3, .top = 1, .bottom = 1, .left = 1, .right = 1};
  const DeviceArray<float> weight(d, numbers<float>(8 * 9 * 8, 1)), gw(d, 8 * 9 * 8), gb(d, 8);
  conv(d.ctx, DType::f32, {.shape = s, .weight = weight.data()});
  conv_data_gradient(d.ctx, DType::f32, {.shape = s, .weight = weight.data()});
  conv_weight_gradient(d.ctx, DType::f32, DType::f32, {.shape = s, .gw = gw.data()});
  conv_bias_gradient(d.ctx, DType::f32, DType::f32, 0, 8, nullptr, gb.data());
  for (float g : gw.host()) CHECK(g == 0);
  for (float g : gb.host()) CHECK(g == 0);
  expect_no_findings();
}

TEST_CASE("conv on the device: other types are one clear error") {
  TestDevice d;
  const auto refused = [](auto&& call, const char* says) {
    std::string text;
    try {
      call();
    } catch (const Error& e) {
      text = e.what();
    }
    CHECK(text.find(says) != std::string::npos);
  };
  refused([&] { conv(d.ctx, DType::f16, {}); }, "f16");
  refused([&] { conv_weight_gradient(d.ctx, DType::bf16, DType::f64, {}); }, "bf16 -> f64");
}

TEST_CASE("conv on the device: the traffic of its products" * doctest::skip(!checking())) {
  // 64 pixels see 3 x 3 taps of 64 channels: tiles of 64 x 64, each line of a step whole sectors. Patches beyond the edge are not read.
  const ConvShape s = square(1, 8, 64, 64, 3, 1, 1);
  TestDevice d;
  const DeviceArray<bf16> x(d, numbers<bf16>(64 * 64, 1)), w(d, numbers<bf16>(64 * 9 * 64, 2)), y(d, 64 * 64), gx(d, 64 * 64), gw(d, 64 * 9 * 64);
  const auto measure = [&](const char* name, double m, double n, double k, double seen_a, double seen_b, auto&& run) {
    INFO(name);
    reset_counters();
    run();
    bool sliced = false;  // slices of k are written as sums in f32
    for (const KernelCounters& c : counters()) sliced = sliced || c.kernel == "add_slices";
    for (const KernelCounters& c : counters()) {
      if (c.kernel != name) continue;
      CHECK(double(c.sectors_written) <= 1.1 * double(c.blocks) * 64 * 64 * (sliced ? 4 : 2) / 32);
      const double reads = m * n * k * (seen_a / 64 + seen_b / 64) * 2 / 32;
      MESSAGE(std::string(name), ": reads / model ", double(c.sectors_read) / reads, ", wavefronts / fewest ", double(c.wavefronts) / double(c.wavefronts_fewest));
      CHECK(double(c.sectors_read) <= 1.1 * reads);
      CHECK(double(c.wavefronts) <= 1.1 * double(c.wavefronts_fewest));
      return;
    }
    FAIL("the kernel did not run");
  };
  const double inside = double(22 * 22) / (24 * 24);  // of the patches' elements
  measure("conv_mma", 64, 64, 576, inside, 1,
          [&] { conv(d.ctx, DType::bf16, {.shape = s, .x = x.data(), .weight = w.data(), .y = y.data()}); });
  measure("conv_data_gradient_mma", 64, 64, 576, inside, 1,
          [&] { conv_data_gradient(d.ctx, DType::bf16, {.shape = s, .gy = y.data(), .weight = w.data(), .gx = gx.data()}); });
  measure("conv_weight_gradient_mma", 64, 576, 64, 1, inside, [&] {
    conv_weight_gradient(d.ctx, DType::bf16, DType::bf16, {.shape = s, .x = x.data(), .gy = y.data(), .gw = gw.data()});
  });
}
