// The device's matrix products against three loops in double: every layout of A and B, odd sizes, both tile sizes, slices of k, what
// happens on the way to C; the same bits in any schedule; and the traffic that gemm_tiles.cuh promises.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "device_test.hpp"
#include "gemm.hpp"
#include "gemm_tiles.cuh"
#include "sspo/base/error.hpp"

using namespace sspo;
using namespace sspo::cuda;
using kernels::GemmArgs;
using kernels::Matrix;

namespace {

double value(double x) { return x; }
double value(bf16 x) { return double(to_float(x)); }

// Half an ulp of the result's type, of its sums, and of the factors where tf32 rounds them.
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

double activated(Activation act, double x) {
  switch (act) {
    case Activation::none: return x;
    case Activation::relu: return std::max(x, 0.0);
    case Activation::silu: return x / (1 + std::exp(-x));
    case Activation::gelu_erf: return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    case Activation::gelu_tanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::quick_gelu: return x / (1 + std::exp(-1.702 * x));
  }
  return NAN;
}

// Which index is contiguous in memory: in rows with a gap between them, odd: such that 16 bytes are aligned nowhere.
enum class Layout { k_inside, k_outside, k_inside_odd, k_outside_odd, strided };
constexpr Layout layouts[] = {Layout::k_inside, Layout::k_outside, Layout::k_inside_odd, Layout::k_outside_odd, Layout::strided};

struct Case {
  Index batch = 1, m = 1, n = 1, k = 1;
  Layout a = Layout::k_inside, b = Layout::k_outside;
  bool bias = false, residual = false, accumulate = false, shared_b = false, tf32 = false;
  Activation act = Activation::none;
  double alpha = 1;
  Index ldc_more = 0;
};

struct Steps {
  Index start, line, depth, batch;
};
Steps steps(Layout layout, Index lines, Index k) {
  switch (layout) {
    case Layout::k_inside: return {0, k + 16, 1, lines * (k + 16)};
    case Layout::k_outside: return {0, 1, lines + 16, k * (lines + 16)};
    case Layout::k_inside_odd: return {1, k + 3, 1, lines * (k + 3)};
    case Layout::k_outside_odd: return {3, 1, lines + 1, k * (lines + 1)};
    case Layout::strided: return {0, 2, 2 * lines + 1, k * (2 * lines + 1)};
  }
  return {};
}
Index extent(const Steps& s, Index batch, Index lines, Index k) {
  return batch * lines * k == 0 ? 0 : s.start + (batch - 1) * s.batch + (lines - 1) * s.line + (k - 1) * s.depth + 1;
}

void expect_no_findings() {
  for (const Finding& f : findings()) MESSAGE(f.text());
  CHECK(findings().empty());
  reset_findings();
}

template <class In, class Out> void check(const Case& t, bool repeat = true) {
  INFO("batch ", t.batch, " m ", t.m, " n ", t.n, " k ", t.k, " a ", int(t.a), " b ", int(t.b), " bias ", t.bias, " residual ", t.residual, " accumulate ",
       t.accumulate, " act ", int(t.act), " tf32 ", t.tf32, " in ", sizeof(In), " out ", sizeof(Out));
  const Steps sa = steps(t.a, t.m, t.k), sb = steps(t.b, t.n, t.k);
  const Index ldc = t.n + t.ldc_more, c_size = t.m * ldc, b_batch = t.shared_b ? 0 : sb.batch;
  const auto a = numbers<In>(extent(sa, t.batch, t.m, t.k), 1), b = numbers<In>(extent(sb, t.batch, t.n, t.k), 2);
  const auto c0 = numbers<Out>(t.batch * c_size, 3), bias = numbers<Out>(t.n, 4), res = numbers<Out>(t.batch * c_size, 5);

  TestDevice d;
  const Context ctx{d.stream, d.scratch, t.tf32};
  const DeviceArray<In> da(d, a), db(d, b);
  const DeviceArray<Out> dbias(d, bias), dres(d, res);
  GemmArgs g{.batch = t.batch, .m = t.m, .n = t.n, .k = t.k};
  g.a = {da.data() + sa.start, sa.line, sa.depth}, g.a_batch = sa.batch;
  g.b = {db.data() + sb.start, sb.depth, sb.line}, g.b_batch = b_batch;
  g.ldc = ldc, g.c_batch = c_size;
  g.bias = t.bias ? dbias.data() : nullptr, g.residual = t.residual ? dres.data() : nullptr;
  g.act = t.act, g.accumulate = t.accumulate, g.alpha = t.alpha;
  const auto run = [&] {
    const DeviceArray<Out> dc(d, c0);
    g.c = dc.data();
    gemm(ctx, dtype_of<In>, dtype_of<Out>, g);
    return dc.host();
  };
  const std::vector<Out> c = run();
  if (repeat) {
    set_schedule(7);
    const std::vector<Out> again = run();
    set_schedule(0);
    CHECK((c.empty() || std::memcmp(c.data(), again.data(), c.size() * sizeof(Out)) == 0));
  }
  expect_no_findings();

  // Truth, and what rounding may do to it: the sums' walk of sqrt(k) steps (4 of them: never seen beyond), then C's own rounding.
  Index wrong = 0, touched = 0;
  for (Index s = 0; s < t.batch; ++s)
    for (Index i = 0; i < t.m; ++i)
      for (Index j = 0; j < ldc; ++j) {
        const std::size_t at = std::size_t(s * c_size + i * ldc + j);
        if (j >= t.n) {
          touched += std::memcmp(&c[at], &c0[at], sizeof(Out)) != 0;
          continue;
        }
        double sum = 0, squares = 0;
        for (Index k = 0; k < t.k; ++k) {
          const double p = value(a[std::size_t(sa.start + s * sa.batch + i * sa.line + k * sa.depth)]) *
                           value(b[std::size_t(sb.start + s * b_batch + j * sb.line + k * sb.depth)]);
          sum += p, squares += p * p;
        }
        sum *= t.alpha, squares *= t.alpha * t.alpha;
        double slack = 4 * sum_unit<Out> * std::sqrt(double(t.k)) * std::sqrt(squares) + (t.tf32 ? 5 * tf32_unit * std::sqrt(squares) : 0);
        if (t.bias) sum += value(bias[std::size_t(j)]);
        if (t.residual) sum += value(res[at]);
        const double want = activated(t.act, sum) + (t.accumulate ? value(c0[at]) : 0);
        slack = 1.2 * slack + 4 * sum_unit<Out> * (std::abs(sum) + 1) + 1.01 * unit<Out> * (std::abs(want) + 1e-3);
        wrong += !(std::abs(value(c[at]) - want) <= slack);
      }
  CHECK(wrong == 0);
  CHECK(touched == 0);  // nothing beyond a row's n columns
}

void check_all(Case t) {
  check<float, float>(t);
  check<double, double>(t);
  check<bf16, bf16>(t);
  check<bf16, float>(t);
  t.tf32 = true;
  check<float, float>(t);
}

}  // namespace

TEST_CASE("gemm on the device: every layout, odd sizes") {
  check_all({});
  check_all({.m = 5, .n = 7, .k = 3});
  for (Layout a : layouts)
    for (Layout b : layouts) {
      check_all({.m = 17, .n = 33, .k = 37, .a = a, .b = b});
      check_all({.m = 72, .n = 40, .k = 48, .a = a, .b = b});
    }
}

TEST_CASE("gemm on the device: big tiles") {  // where there are tiles for a whole device
  using enum Layout;
  const auto product = [](Layout a, Layout b, bool tf32 = false) { return Case{.batch = 128, .m = 65, .n = 72, .k = 24, .a = a, .b = b, .tf32 = tf32}; };
  reset_counters();
  check<bf16, bf16>(product(k_inside, k_outside), false);
  if (counts) CHECK(counters()[0].blocks == 128);
  check<bf16, float>(product(k_outside, k_inside), false);
  check<float, float>(product(k_inside, k_outside, true), false);
  check<float, float>(product(k_outside, k_inside, true), false);
  check<float, float>(product(k_outside, k_inside), false);
}

TEST_CASE("gemm on the device: slices of k") {
  check_all({.m = 20, .n = 36, .k = 1100, .a = Layout::k_outside, .bias = true, .residual = true, .act = Activation::silu, .alpha = 0.5});
  check_all({.batch = 2, .m = 3, .n = 7, .k = 1027, .accumulate = true});
}

TEST_CASE("gemm on the device: many tiles") {  // more than one band of them
  check<bf16, bf16>({.m = 600, .n = 130, .k = 8});
  check<float, float>({.m = 600, .n = 130, .k = 8});
}

TEST_CASE("gemm on the device: how products are cut") {
  using namespace tiles;
  // A UNet's convolutions on [2, 64, 64, 320] and [2, 8, 8, 1280].
  const Size wide{1, 8192, 320, 2880}, deep{1, 128, 1280, 11520};
  CHECK(pays<MmaBf16>(wide));
  CHECK(cut<MmaBf16>(wide).blocks == 64 * 3);
  CHECK(cut<MmaBf16>(wide).slices == 1);
  const Cut c = cut<MmaBf16Small>(deep);
  CHECK(c.slices == 6);
  CHECK(c.blocks == 2 * 20 * 6);
  for (const Size& s : {wide, deep, Size{1, 1, 1, 100000}, Size{3, 5, 7, 1}, Size{2, 64, 64, 0}}) {
    const Cut any = cut<MmaBf16Small>(s);
    CHECK(any.slice % MmaBf16Small::K == 0);
    CHECK(Index(any.slices) * any.slice >= s.k);
    CHECK(Index(any.slices - 1) * any.slice <= s.k);
  }
}

TEST_CASE("gemm on the device: nothing to multiply") {
  check_all({.m = 0, .n = 4, .k = 4});
  check_all({.m = 4, .n = 0, .k = 4});
  check_all({.batch = 0, .m = 4, .n = 4, .k = 4});
  check_all({.m = 9, .n = 20, .k = 0, .bias = true, .residual = true});  // C = bias + residual
  check_all({.m = 9, .n = 20, .k = 0, .accumulate = true});
}

TEST_CASE("gemm on the device: bias, residual, accumulate, alpha, activations") {
  for (Index n : {35, 40}) {
    check_all({.m = 13, .n = n, .k = 20, .bias = true, .ldc_more = 5});
    check_all({.m = 13, .n = n, .k = 20, .residual = true, .alpha = 0.5, .ldc_more = 8});
    check_all({.m = 13, .n = n, .k = 20, .bias = true, .residual = true, .accumulate = true});
    check_all({.m = 13, .n = n, .k = 20, .accumulate = true, .alpha = -2});
    for (Activation act : {Activation::relu, Activation::silu, Activation::gelu_erf, Activation::gelu_tanh, Activation::quick_gelu})
      check_all({.m = 9, .n = n, .k = 11, .bias = true, .residual = true, .act = act});
  }
}

TEST_CASE("gemm on the device: batches") {
  for (Layout b : {Layout::k_inside, Layout::k_outside}) {
    check_all({.batch = 3, .m = 33, .n = 20, .k = 17, .b = b, .bias = true, .residual = true});
    check_all({.batch = 4, .m = 7, .n = 48, .k = 32, .b = b, .shared_b = true});
  }
}

TEST_CASE("gemm on the device: NaN and infinity arrive") {
  TestDevice d;
  std::vector<float> a(64, 1.0f), b(64, 1.0f);
  a[8] = NAN, a[16] = INFINITY;  // rows 1 and 2
  const DeviceArray<float> da(d, a), db(d, b), dc(d, 64);
  for (Activation act : {Activation::none, Activation::relu}) {
    gemm(d.ctx, DType::f32, DType::f32, {.m = 8, .n = 8, .k = 8, .a = {da.data(), 8, 1}, .b = {db.data(), 8, 1}, .c = dc.data(), .ldc = 8, .act = act});
    const std::vector<float> c = dc.host();
    CHECK(c[0] == 8);
    CHECK(std::isnan(c[8]));
    CHECK(std::isinf(c[16]));
  }
}

TEST_CASE("gemm on the device: other types are one clear error") {
  TestDevice d;
  std::string text;
  try {
    gemm(d.ctx, DType::f16, DType::f32, {.m = 1, .n = 1, .k = 1});
  } catch (const Error& e) {
    text = e.what();
  }
  CHECK(text.find("f16 -> f32") != std::string::npos);
}

namespace {

template <class In> KernelCounters traffic(const GemmArgs& shape, Layout la, Layout lb, bool tf32) {
  TestDevice d;
  const Context ctx{d.stream, d.scratch, tf32};
  const Steps sa = steps(la, shape.m, shape.k), sb = steps(lb, shape.n, shape.k);
  GemmArgs g = shape;
  const DeviceArray<In> a(d, numbers<In>(extent(sa, g.batch, g.m, g.k), 1)), b(d, numbers<In>(extent(sb, g.batch, g.n, g.k), 2)), c(d, std::size_t(g.batch * g.m * g.n));
  g.a = {a.data(), sa.line, sa.depth}, g.a_batch = sa.batch, g.b = {b.data(), sb.depth, sb.line}, g.b_batch = sb.batch;
  g.c = c.data(), g.ldc = g.n, g.c_batch = g.m * g.n;
  reset_counters();
  gemm(ctx, dtype_of<In>, dtype_of<In>, g);
  REQUIRE(counters().size() == 1);
  return counters()[0];
}

template <class In> void check_traffic(const GemmArgs& g, Layout la, Layout lb, Index M, Index N, bool tf32 = false) {
  INFO("bytes ", sizeof(In), " a ", int(la), " b ", int(lb), " tile ", M, " tf32 ", tf32);
  const KernelCounters c = traffic<In>(g, la, lb, tf32);
  const double reads = double(g.batch * g.m * g.n * g.k) * (1.0 / double(M) + 1.0 / double(N)) * sizeof(In) / 32, writes = double(g.batch * g.m * g.n) * sizeof(In) / 32;
  MESSAGE("reads / model ", double(c.sectors_read) / reads, ", writes ", double(c.sectors_written) / writes, ", wavefronts / fewest ",
          double(c.wavefronts) / double(c.wavefronts_fewest));
  CHECK(double(c.sectors_read) <= 1.1 * reads);
  CHECK(double(c.sectors_written) <= 1.1 * writes);
  CHECK(double(c.wavefronts) <= 1.1 * double(c.wavefronts_fewest));
}

}  // namespace

TEST_CASE("gemm on the device: the traffic that its tiles promise" * doctest::skip(!checking())) {
  const GemmArgs small{.m = 128, .n = 64, .k = 128}, big{.batch = 128, .m = 128, .n = 128, .k = 16};
  for (Layout a : {Layout::k_inside, Layout::k_outside})
    for (Layout b : {Layout::k_inside, Layout::k_outside}) {
      check_traffic<float>(small, a, b, 64, 64);
      check_traffic<double>(small, a, b, 64, 64);
      check_traffic<bf16>(small, a, b, 64, 64);
      check_traffic<float>(small, a, b, 64, 64, true);
    }
  check_traffic<bf16>(big, Layout::k_inside, Layout::k_outside, 128, 128);
  check_traffic<float>(big, Layout::k_outside, Layout::k_inside, 128, 128, true);
  check_traffic<float>(big, Layout::k_inside, Layout::k_outside, 128, 128);
  expect_no_findings();
}
