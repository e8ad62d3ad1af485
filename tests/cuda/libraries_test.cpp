// cuBLASLt and cuDNN as cuda-sim has them, against our own kernels: the same arguments, the same numbers but for the order of sums. What a
// library cannot do is one clear error.
#include "libraries.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "attention.hpp"
#include "conv.hpp"
#include "device_test.hpp"
#include "gemm.hpp"
#include "sspo/base/error.hpp"

using namespace sspo;
using namespace sspo::cuda;
using kernels::GemmArgs;

namespace {

double value(double x) { return x; }
double value(bf16 x) { return double(to_float(x)); }
template <class T> constexpr double unit = sizeof(T) == 8 ? 0x1p-53 : sizeof(T) == 4 ? 0x1p-24 : 0x1p-8;
template <class T> constexpr double sum_unit = sizeof(T) == 8 ? 0x1p-53 : 0x1p-24;

template <class T> std::vector<T> numbers(Index count, unsigned seed) {
  std::mt19937 rng(seed);
  std::uniform_real_distribution<float> u(-1, 1);
  std::vector<T> v(static_cast<std::size_t>(count));
  for (T& x : v) x = T(u(rng));
  return v;
}

void expect_no_findings() {
  for (const Finding& f : findings()) MESSAGE(f.text());
  CHECK(findings().empty());
  reset_findings();
}

// Two sums of `terms` products of numbers in [-1, 1], each with its own order, then `roundings` of results of that size.
template <class T> Index apart(const std::vector<T>& got, const std::vector<T>& want, Index terms, int roundings) {
  Index n = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double size = std::abs(value(want[i])) + 1, walk = 8 * sum_unit<T> * double(terms + 4);
    n += !(std::abs(value(got[i]) - value(want[i])) <= walk + 2.02 * roundings * unit<T> * size);
  }
  return n;
}

std::string refusal(auto&& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}
#define CHECK_SAYS(text, part) CHECK_MESSAGE((text).find(part) != std::string::npos, (text))

// --- matrix products

// Which index is contiguous in memory; rows with gaps; broadcast: one row, seen again and again.
enum class Layout { k_inside, k_outside, k_inside_odd, strided, broadcast };
struct Steps {
  Index start, line, depth, batch;
};
Steps steps(Layout layout, Index lines, Index k) {
  switch (layout) {
    case Layout::k_inside: return {0, k + 8, 1, lines * (k + 8)};
    case Layout::k_outside: return {0, 1, lines + 8, k * (lines + 8)};
    case Layout::k_inside_odd: return {1, k + 3, 1, lines * (k + 3)};
    case Layout::strided: return {0, 2, 2 * lines + 1, k * (2 * lines + 1)};
    case Layout::broadcast: return {0, 0, 1, 0};
  }
  return {};
}

struct Product {
  Index batch = 1, m = 1, n = 1, k = 1;
  Layout a = Layout::k_inside, b = Layout::k_outside;
  bool bias = false, residual = false, accumulate = false, shared_b = false, tf32 = false;
  Activation act = Activation::none;
  double alpha = 1;
  Index ldc_more = 0;
};

template <class In, class Out> void check(const Product& t) {
  INFO("batch ", t.batch, " m ", t.m, " n ", t.n, " k ", t.k, " a ", int(t.a), " b ", int(t.b), " bias ", t.bias, " residual ", t.residual,
       " accumulate ", t.accumulate, " act ", int(t.act), " tf32 ", t.tf32, " in ", sizeof(In), " out ", sizeof(Out));
  const Steps sa = steps(t.a, t.m, t.k), sb = steps(t.b, t.n, t.k);
  const auto extent = [&](const Steps& s, Index lines) { return t.k == 0 ? 0 : s.start + (t.batch - 1) * s.batch + (lines - 1) * s.line + (t.k - 1) * s.depth + 1; };
  const Index ldc = t.n + t.ldc_more;
  TestDevice d;
  const Context ctx{d.stream, d.scratch, t.tf32};
  const DeviceArray<In> a(d, numbers<In>(extent(sa, t.m), 1)), b(d, numbers<In>(extent(sb, t.n), 2));
  const DeviceArray<Out> bias(d, numbers<Out>(t.n, 4)), residual(d, numbers<Out>(t.batch * t.m * ldc, 5));
  GemmArgs g{.batch = t.batch, .m = t.m, .n = t.n, .k = t.k, .ldc = ldc, .c_batch = t.m * ldc, .act = t.act, .accumulate = t.accumulate, .alpha = t.alpha};
  g.a = {a.data() + sa.start, sa.line, sa.depth}, g.a_batch = sa.batch;
  g.b = {b.data() + sb.start, sb.depth, sb.line}, g.b_batch = t.shared_b ? 0 : sb.batch;
  if (t.bias) g.bias = bias.data();
  if (t.residual) g.residual = residual.data();
  const auto run = [&](auto&& multiply) {
    const DeviceArray<Out> c(d, numbers<Out>(t.batch * t.m * ldc, 3));
    g.c = c.data();
    multiply(ctx, dtype_of<In>, dtype_of<Out>, g);
    return c.host();
  };
  REQUIRE(cublas_gemm_fits(dtype_of<In>, dtype_of<Out>, g));
  CHECK(apart(run(cublas_gemm), run(gemm), t.k, 3) == 0);  // gaps between rows hold what they held: they are equal
  expect_no_findings();
}
void check_all(Product t) {
  check<float, float>(t), check<double, double>(t), check<bf16, bf16>(t), check<bf16, float>(t);
  t.tf32 = true;
  check<float, float>(t);
}

}  // namespace

TEST_CASE("cuBLASLt: layouts") {
  using enum Layout;
  check_all({});
  for (Layout a : {k_inside, k_outside, k_inside_odd, strided, broadcast})
    for (Layout b : {k_inside, k_outside, k_inside_odd, strided, broadcast}) {
      check_all({.m = 9, .n = 12, .k = 17, .a = a, .b = b});
      check_all({.batch = 2, .m = 5, .n = 3, .k = 8, .a = a, .b = b, .bias = true});
    }
  for (Index m : {1, 4})
    for (Index n : {1, 4})
      for (Index k : {1, 4})
        for (Layout a : {k_inside, k_outside, strided}) check_all({.batch = 2, .m = m, .n = n, .k = k, .a = a, .b = a, .ldc_more = 2});
}

TEST_CASE("cuBLASLt: epilogues") {
  for (Index batch : {1, 3}) {
    check_all({.batch = batch, .m = 9, .n = 12, .k = 8, .bias = true});
    check_all({.batch = batch, .m = 9, .n = 12, .k = 8, .residual = true, .alpha = 0.5});
    check_all({.batch = batch, .m = 9, .n = 12, .k = 8, .accumulate = true});
    check_all({.batch = batch, .m = 9, .n = 12, .k = 8, .bias = true, .accumulate = true, .alpha = -2});
    check_all({.batch = batch, .m = 9, .n = 12, .k = 8, .bias = true, .shared_b = true});
    for (Activation act : {Activation::relu, Activation::silu, Activation::gelu_erf, Activation::gelu_tanh, Activation::quick_gelu}) {
      check_all({.batch = batch, .m = 9, .n = 12, .k = 8, .act = act});
      check_all({.batch = batch, .m = 9, .n = 12, .k = 8, .bias = true, .residual = true, .act = act});
    }
  }
}

TEST_CASE("cuBLASLt: nothing to multiply") {
  check_all({.batch = 2, .m = 3, .n = 4, .k = 0});
  check_all({.batch = 2, .m = 3, .n = 4, .k = 0, .bias = true, .residual = true, .act = Activation::relu});
  check_all({.batch = 2, .m = 3, .n = 4, .k = 0, .bias = true, .accumulate = true});
}

TEST_CASE("cuBLASLt: how a product is planned") {
  using library::plan_gemm;
  float x = 0;
  const auto plan = [&](kernels::Matrix a, kernels::Matrix b, GemmArgs g = {}) {
    g.m = 4, g.n = 6, g.k = 8, g.c = &x, g.ldc = g.ldc ? g.ldc : 6, g.a = a, g.b = b, g.a.data = g.b.data = &x;
    return plan_gemm(DType::f32, DType::f32, g, true);
  };
  const auto p = plan({nullptr, 8, 1}, {nullptr, 6, 1});  // A B: its A is our B, as it lies
  CHECK((p.a.rows == 6 && p.a.cols == 8 && p.a.ld == 6 && !p.a.transposed));
  CHECK((p.b.rows == 8 && p.b.cols == 4 && p.b.ld == 8 && !p.b.transposed));
  CHECK((p.d.rows == 6 && p.d.cols == 4 && p.d.ld == 6));
  CHECK((p.tf32 && p.beta == 0));
  const auto turned = plan({nullptr, 1, 4}, {nullptr, 1, 8});  // Aᵀ Bᵀ
  CHECK((turned.a.rows == 8 && turned.a.cols == 6 && turned.a.ld == 8 && turned.a.transposed));
  CHECK((turned.b.rows == 4 && turned.b.cols == 8 && turned.b.ld == 4 && turned.b.transposed));
  CHECK(plan({nullptr, 0, 1}, {nullptr, 6, 1}).pack_a);
  CHECK(plan({nullptr, 8, 1}, {nullptr, 12, 2}).pack_b);
  // A batch of rows that share B is one product.
  GemmArgs g{.batch = 3, .m = 4, .n = 6, .k = 8, .a = {&x, 8, 1}, .b = {&x, 6, 1}, .a_batch = 32, .c = &x, .ldc = 6, .c_batch = 24};
  CHECK((plan_gemm(DType::bf16, DType::f32, g, true).batch == 1 && plan_gemm(DType::bf16, DType::f32, g, true).d.cols == 12));
  CHECK_FALSE(plan_gemm(DType::bf16, DType::f32, g, true).tf32);
}

TEST_CASE("cuBLASLt: what it cannot do is one clear error") {
  TestDevice d;
  const DeviceArray<float> x(d, 64);
  const GemmArgs g{.m = 4, .n = 4, .k = 4, .a = {x.data(), 4, 1}, .b = {x.data(), 4, 1}, .c = x.data(), .ldc = 4};
  const auto says = [&](DType in, DType out, const GemmArgs& args, const char* what) {
    const std::string text = refusal([&] { cublas_gemm(d.ctx, in, out, args); });
    CHECK_SAYS(text, what);
    CHECK_SAYS(text, "--matmul own");
    CHECK_SAYS(text, "[4, ");  // the shapes
  };
  const auto with = [&](auto&& change) {
    GemmArgs changed = g;
    change(changed);
    return changed;
  };
  says(DType::f16, DType::f16, g, "no product of these types");
  says(DType::f32, DType::bf16, g, "no product of these types");
  says(DType::f32, DType::f32, with([](GemmArgs& a) { a.k = 0, a.ldc = 5; }), "on rows with gaps");
  says(DType::f32, DType::f32, with([&](GemmArgs& a) { a.accumulate = true, a.residual = x.data(); }), "one matrix to a product, not two");
  says(DType::f32, DType::f32, with([&](GemmArgs& a) { a.accumulate = true, a.act = Activation::relu; }), "before the activation");
  says(DType::f32, DType::f32, with([](GemmArgs& a) { a.n = Index(1) << 31, a.ldc = a.n; }), "too large");
  says(DType::f32, DType::f32, with([](GemmArgs& a) { a.ldc = 3; }), "overlap");
  says(DType::f32, DType::f32, with([](GemmArgs& a) { a.ldc = 5, a.act = Activation::silu; }), "on rows with gaps");
  cublas_gemm(d.ctx, DType::f32, DType::f32, with([](GemmArgs& a) { a.m = 0; }));
}

// --- convolutions
namespace {

using kernels::ConvArgs;
using kernels::ConvShape;

ConvShape square(Index batch, Index size, Index in, Index out, Index kernel, Index stride, Index pad, Index groups = 1) {
  return {.batch = batch, .h = size, .w = size, .in = in, .out = out, .kh = kernel, .kw = kernel, .stride_h = stride, .stride_w = stride,
          .top = pad, .bottom = pad, .left = pad, .right = pad, .groups = groups};
}

enum class Extras { none, bias, bias_residual, sample_bias, all };

template <class T> void check(const ConvShape& s, Extras extras, Activation act = Activation::none, bool tf32 = false) {
  INFO("batch ", s.batch, " h ", s.h, " in ", s.in, " out ", s.out, " kernel ", s.kh, " extras ", int(extras), " act ", int(act), " tf32 ", tf32, " bytes ", sizeof(T));
  const Index pixels = s.batch * s.out_h() * s.out_w(), in = s.in / s.groups;
  TestDevice d;
  const Context ctx{d.stream, d.scratch, tf32};
  const DeviceArray<T> x(d, numbers<T>(s.batch * s.h * s.w * s.in, 1)), w(d, numbers<T>(s.out * s.kh * s.kw * in, 2)), gy(d, numbers<T>(pixels * s.out, 3));
  const DeviceArray<T> residual(d, numbers<T>(pixels * s.out, 4)), bias(d, numbers<T>(s.batch * s.out, 5));
  const bool accumulate = extras != Extras::none;
  ConvArgs a{.shape = s, .x = x.data(), .weight = w.data()};
  a.act = act;
  if (extras == Extras::bias || extras == Extras::bias_residual) a.bias = bias.data();
  if (extras == Extras::sample_bias || extras == Extras::all) a.sample_bias = bias.data();
  if (extras == Extras::bias_residual || extras == Extras::all) a.residual = residual.data();
  const auto result = [&](Index size, auto&& run) {
    const DeviceArray<T> to(d, numbers<T>(size, 6));
    run(to.data());
    return to.host();
  };
  const auto forward = [&](auto&& convolve) { return result(pixels * s.out, [&](T* y) { a.y = y, convolve(ctx, dtype_of<T>, a); }); };
  const auto data = [&](auto&& convolve) {
    return result(s.batch * s.h * s.w * s.in, [&](T* gx) {
      convolve(ctx, dtype_of<T>, {.shape = s, .gy = gy.data(), .weight = w.data(), .gx = gx, .accumulate = accumulate});
    });
  };
  const auto weight = [&](auto&& convolve) {
    return result(s.out * s.kh * s.kw * in, [&](T* gw) {
      convolve(ctx, dtype_of<T>, dtype_of<T>, {.shape = s, .x = x.data(), .gy = gy.data(), .gw = gw, .accumulate = accumulate});
    });
  };
  CHECK(cudnn_conv_fits(dtype_of<T>, a));
  using DataCall = void (*)(const Context&, DType, const kernels::ConvDataGradientArgs&);
  using WeightCall = void (*)(const Context&, DType, DType, const kernels::ConvWeightGradientArgs&);
  CHECK(apart(forward(cudnn_conv), forward(conv), s.kh * s.kw * in, 4) == 0);
  CHECK(apart(data(DataCall(cudnn_conv_data_gradient)), data(DataCall(conv_data_gradient)), s.kh * s.kw * s.out / s.groups, 2) == 0);
  CHECK(apart(weight(WeightCall(cudnn_conv_weight_gradient)), weight(WeightCall(conv_weight_gradient)), pixels, 2) == 0);
  expect_no_findings();
}
void check_convolutions(const ConvShape& s) {
  for (Extras extras : {Extras::none, Extras::bias, Extras::bias_residual, Extras::sample_bias, Extras::all}) {
    check<float>(s, extras), check<float>(s, extras, Activation::none, true), check<double>(s, extras), check<bf16>(s, extras);
  }
}

}  // namespace

TEST_CASE("cuDNN: convolutions and their gradients") {
  check_convolutions(square(2, 5, 8, 12, 3, 1, 1));
  check_convolutions(square(2, 6, 8, 8, 3, 2, 1));
  check_convolutions(square(1, 5, 16, 32, 3, 1, 1, 2));
  check_convolutions(square(1, 5, 6, 6, 3, 1, 1, 6));
  check_convolutions({.batch = 2, .h = 7, .w = 9, .in = 3, .out = 5, .kh = 3, .kw = 2, .stride_h = 2, .stride_w = 3, .top = 1, .right = 2});
  check_convolutions({.batch = 1, .h = 9, .w = 8, .in = 8, .out = 8, .kh = 2, .kw = 3, .stride_w = 2, .dilation_h = 2, .dilation_w = 3,
                      .top = 2, .bottom = 1, .left = 3, .right = 4});
  check_convolutions({.batch = 3});
  for (Activation act : {Activation::relu, Activation::silu, Activation::gelu_erf, Activation::gelu_tanh, Activation::quick_gelu}) {
    check<float>(square(2, 4, 8, 8, 1, 1, 0), Extras::bias, act);
    check<bf16>(square(2, 4, 8, 8, 1, 1, 0), Extras::bias_residual, act);
  }
}

TEST_CASE("cuDNN: no image, no pixel") {
  TestDevice d;
  const ConvShape s = square(0, 3, 8, 8, 3, 1, 1);
  const DeviceArray<float> weight(d, numbers<float>(8 * 9 * 8, 1)), gw(d, numbers<float>(8 * 9 * 8, 2));
  cudnn_conv(d.ctx, DType::f32, {.shape = s, .weight = weight.data()});
  cudnn_conv_data_gradient(d.ctx, DType::f32, {.shape = s, .weight = weight.data()});
  cudnn_conv_weight_gradient(d.ctx, DType::f32, DType::f32, {.shape = s, .gw = gw.data()});
  for (float g : gw.host()) CHECK(g == 0);
}

TEST_CASE("cuDNN: what it cannot convolve is one clear error") {
  TestDevice d;
  const ConvShape s = square(1, 4, 8, 8, 3, 1, 1);
  const auto says = [&](const std::string& text, const char* what) {
    CHECK_SAYS(text, what);
    CHECK_SAYS(text, "--conv own");
    CHECK_SAYS(text, "x [1, 4, 4, 8]");
  };
  says(refusal([&] { cudnn_conv(d.ctx, DType::f16, {.shape = s}); }), "no convolution of these types");
  says(refusal([&] { cudnn_conv_data_gradient(d.ctx, DType::i32, {.shape = s}); }), "no convolution of these types");
  says(refusal([&] { cudnn_conv_weight_gradient(d.ctx, DType::bf16, DType::f32, {.shape = s}); }), "no convolution of these types");
  CHECK_FALSE(cudnn_conv_fits(DType::bf16, DType::f32, kernels::ConvWeightGradientArgs{.shape = s}));
  ConvShape three = s;
  three.groups = 3;
  says(refusal([&] { cudnn_conv(d.ctx, DType::f32, {.shape = three}); }), "groups do not divide");
  ConvShape wide = s;
  wide.kw = 7;
  says(refusal([&] { cudnn_conv(d.ctx, DType::f32, {.shape = wide}); }), "larger than the padded image");
}

// --- attention
namespace {

using kernels::AttentionArgs;
using kernels::HeadStrides;

struct Attention {
  Index batch, heads, queries, keys, head_dim;
  bool causal = false;
  bool fused = false;  // q, k and v are slices of one buffer
};

// |got - want| by |want|, both as long vectors.
double difference(const std::vector<bf16>& got, const std::vector<bf16>& want) {
  double off = 0, size = 0;
  for (std::size_t i = 0; i < want.size(); ++i) off += std::pow(value(got[i]) - value(want[i]), 2), size += std::pow(value(want[i]), 2);
  return std::sqrt(off) / (std::sqrt(size) + 1e-6);
}

void check(const Attention& c, bool all_gradients = true) {
  INFO("B ", c.batch, " H ", c.heads, " N ", c.queries, " M ", c.keys, " D ", c.head_dim, " causal ", c.causal, " fused ", c.fused);
  const Index B = c.batch, H = c.heads, N = c.queries, M = c.keys, D = c.head_dim, parts = c.fused ? 3 : 1;
  TestDevice d;
  const HeadStrides sq{N * parts * H * D, parts * H * D, D}, sk{M * parts * H * D, parts * H * D, D}, so{N * H * D, H * D, D}, sg{M * H * D, H * D, D};
  const Index of_queries = B * N * H * D, of_keys = B * M * H * D;
  const DeviceArray<bf16> q(d, numbers<bf16>(of_queries * parts, 1)), k(d, numbers<bf16>(of_keys, 2)), v(d, numbers<bf16>(of_keys, 3)), d_o(d, numbers<bf16>(of_queries, 4));
  AttentionArgs a{};
  a.batch = B, a.heads = H, a.queries = N, a.keys = M, a.head_dim = D, a.scale = 1 / std::sqrt(double(D)), a.causal = c.causal;
  a.q = {q.data(), sq}, a.k = {c.fused ? q.data() + H * D : k.data(), sk}, a.v = {c.fused ? q.data() + 2 * H * D : v.data(), sk};
  struct Results {
    std::vector<bf16> o, dq, dk, dv;
    std::vector<float> lse;
  };
  const auto run = [&](auto&& forward, auto&& backward) {
    const DeviceArray<bf16> o(d, std::size_t(of_queries)), dq(d, std::size_t(of_queries)), dk(d, std::size_t(of_keys)), dv(d, std::size_t(of_keys));
    const DeviceArray<float> lse(d, std::size_t(B * H * N));
    a.o = {o.data(), so}, a.lse = lse.data();
    forward(d.ctx, DType::bf16, a);
    kernels::AttentionGradArgs g{.batch = B, .heads = H, .queries = N, .keys = M, .head_dim = D, .q = a.q, .k = a.k, .v = a.v, .o = {o.data(), so},
                                 .d_o = {d_o.data(), so}, .mask = a.mask, .scale = a.scale, .causal = a.causal, .lse = lse.data(),
                                 .dq = {dq.data(), so}, .dk = {dk.data(), sg}, .dv = {dv.data(), sg}};
    if (!all_gradients) g.dk = {}, g.dq = {};
    backward(d.ctx, DType::bf16, g);
    a.lse = nullptr;  // not wanted: the same O
    const DeviceArray<bf16> alone(d, std::size_t(of_queries));
    a.o = {alone.data(), so};
    forward(d.ctx, DType::bf16, a);
    CHECK(difference(alone.host(), o.host()) == 0);
    Results r{o.host(), {}, {}, dv.host(), lse.host()};
    if (all_gradients) r.dq = dq.host(), r.dk = dk.host();
    return r;
  };
  using Forward = void (*)(const Context&, DType, const AttentionArgs&);
  using Backward = void (*)(const Context&, DType, const kernels::AttentionGradArgs&);
  CHECK(cudnn_attention_fits(DType::bf16, a));
  const Results got = run(Forward(cudnn_attention), Backward(cudnn_attention_grad)), want = run(Forward(attention), Backward(attention_grad));
  CHECK(apart(got.lse, want.lse, D, 1) == 0);
  CHECK(difference(got.o, want.o) < 0.008);  // two roundings to bf16: 2^-9 each, on average less
  CHECK(difference(got.dq, want.dq) < 0.012);
  CHECK(difference(got.dk, want.dk) < 0.012);
  CHECK(difference(got.dv, want.dv) < 0.012);
  expect_no_findings();
}

}  // namespace

TEST_CASE("cuDNN: attention and its gradients") {
  check({2, 2, 5, 9, 8});
  check({1, 3, 33, 20, 40});
  check({2, 2, 17, 17, 16, true});
  check({1, 2, 9, 5, 16, true});  // more queries than keys
  check({2, 2, 7, 12, 16});
  check({1, 2, 9, 9, 64, true});
  check({2, 3, 10, 10, 24, false, true});
  check({1, 1, 1, 1, 8});
  check({2, 1, 6, 4, 160});
  check({2, 2, 5, 9, 8}, false);
}

TEST_CASE("cuDNN: attention that it cannot compute is one clear error") {
  TestDevice d;
  const DeviceArray<bf16> x(d, 4096);
  const auto heads = [&](Index D, Index skip = 0) { return kernels::Heads{x.data() + skip, {2 * 2 * D, 2 * D, D}}; };
  const auto forward = [&](Index D, Index M = 2, Index skip = 0, DType type = DType::bf16) {
    return refusal([&] {
      AttentionArgs a{};
      a.batch = 1, a.heads = a.queries = 2, a.keys = M, a.head_dim = D;
      a.q = heads(D, skip), a.k = a.v = heads(D), a.o = {x.data(), {4 * D, 2 * D, D}};
      cudnn_attention(d.ctx, type, a);
    });
  };
  const std::pair<std::string, const char*> refused[] = {{forward(8, 2, 0, DType::f32), "no attention on this type"}, {forward(12), "heads of this size"},
                                                         {forward(520), "heads of this size"}, {forward(8, 0), "without queries or keys"},
                                                         {forward(8, 2, 1), "not aligned"}};
  for (const auto& r : refused) {
    CHECK_SAYS(r.first, r.second);
    CHECK_SAYS(r.first, "--attention own");
    CHECK_SAYS(r.first, "q [1, 2, 2, ");
  }
  kernels::AttentionGradArgs large{};
  large.batch = large.heads = large.queries = large.keys = 1, large.head_dim = 264;
  CHECK_FALSE(cudnn_attention_fits(DType::bf16, large));
}

TEST_CASE("cuDNN: attention with a mask is our own kernel's: a query that sees no key has output and gradients 0") {
  TestDevice d;
  constexpr Index N = 3, M = 5, D = 8;
  std::vector<float> hidden(N * M, 0);
  std::fill_n(hidden.begin() + M, M, -INFINITY);  // every key, from query 1
  const DeviceArray<float> mask(d, hidden), lse(d, N);
  const DeviceArray<bf16> q(d, numbers<bf16>(N * D, 1)), k(d, numbers<bf16>(M * D, 2)), v(d, numbers<bf16>(M * D, 3)), d_o(d, numbers<bf16>(N * D, 4));
  const DeviceArray<bf16> o(d, N * D), dq(d, N * D), dk(d, M * D), dv(d, M * D);
  const HeadStrides sq{N * D, D, D}, sk{M * D, D, D};
  for (const bool causal : {false, true}) {
    AttentionArgs a{.batch = 1, .heads = 1, .queries = N, .keys = M, .head_dim = D, .q = {q.data(), sq}, .k = {k.data(), sk}, .v = {v.data(), sk},
                    .mask = {mask.data(), 0, 0, M}, .causal = causal, .o = {o.data(), sq}, .lse = lse.data()};
    const kernels::AttentionGradArgs g{.batch = 1, .heads = 1, .queries = N, .keys = M, .head_dim = D, .q = a.q, .k = a.k, .v = a.v, .o = {o.data(), sq},
                                       .d_o = {d_o.data(), sq}, .mask = a.mask, .causal = causal, .lse = lse.data(),
                                       .dq = {dq.data(), sq}, .dk = {dk.data(), sk}, .dv = {dv.data(), sk}};
    CHECK_SAYS(cudnn_attention_fits(DType::bf16, a).what, "with a mask");
    CHECK_SAYS(cudnn_attention_fits(DType::bf16, g).what, "with a mask");
    reset_counters();
    cudnn_attention(d.ctx, DType::bf16, a);
    cudnn_attention_grad(d.ctx, DType::bf16, g);
    std::string launched;
    for (const KernelCounters& c : counters()) launched += c.kernel + " ";
    for (const char* kernel : {"attention_forward_mma", "attention_keys_grad_mma", "attention_queries_grad_mma"}) CHECK_SAYS(launched, kernel);
    CHECK(lse.host()[1] == -INFINITY);
    for (std::size_t i = 0; i < N * D; ++i) {
      const bool zero = i / D == 1;
      CHECK((value(o.host()[i]) == 0) == zero);
      CHECK((value(dq.host()[i]) == 0) == (zero || (causal && i / D == 0)));  // of one key alone the weight is 1
    }
    for (const bf16 x : dv.host()) CHECK(std::isfinite(value(x)));
  }
  expect_no_findings();
}
