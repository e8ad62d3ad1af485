// The matrix engine against three loops in double: every instruction set of this machine, every layout
// of A and B, odd sizes, batches, and equal bits for 1, 2 and 3 threads.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "cpu/gemm.hpp"
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

template <class T> double value(T x) { return double(x); }
double value(bf16 x) { return double(to_float(x)); }

// Half an ulp of the result's type, and of its sums.
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

enum class Layout { k_inside, k_outside, strided };  // which index of A or B is contiguous in memory

struct Case {
  Index batch = 1, m = 1, n = 1, k = 1;
  Layout a = Layout::k_inside, b = Layout::k_outside;
  bool bias = false, residual = false, accumulate = false, pack = false, shared_b = false;
  Activation act = Activation::none;
  double alpha = 1;
};

Matrix matrix(const void* p, Layout layout, Index lines, Index k, bool k_is_column) {
  Index line = 0, step = 0;
  if (layout == Layout::k_inside) line = k + 3, step = 1;
  if (layout == Layout::k_outside) line = 1, step = lines + 2;
  if (layout == Layout::strided) line = 2, step = 2 * lines + 1;
  return k_is_column ? Matrix{p, line, step} : Matrix{p, step, line};
}

template <class In, class Out>
void check(const GemmOf GemmKernels::*of, const Case& t) {
  INFO("batch ", t.batch, " m ", t.m, " n ", t.n, " k ", t.k, " a ", int(t.a), " b ", int(t.b), " bias ", t.bias,
       " residual ", t.residual, " accumulate ", t.accumulate, " pack ", t.pack, " act ", int(t.act));
  const Index a_size = 2 * (t.m + 3) * (t.k + 3), b_size = 2 * (t.n + 3) * (t.k + 3);
  const Index ldc = t.n + 5, c_size = t.m * ldc;
  const auto a = numbers<In>(t.batch * a_size, 1), b = numbers<In>(t.batch * b_size, 2);
  const auto c0 = numbers<Out>(t.batch * c_size, 3), bias = numbers<Out>(t.n, 4), res = numbers<Out>(t.batch * c_size, 5);
  GemmArgs g{.batch = t.batch, .m = t.m, .n = t.n, .k = t.k};
  g.a = matrix(a.data(), t.a, t.m, t.k, true);
  g.b = matrix(b.data(), t.b, t.n, t.k, false);
  g.a_batch = a_size, g.b_batch = t.shared_b || t.pack ? 0 : b_size;
  g.ldc = ldc, g.c_batch = c_size;
  g.bias = t.bias ? bias.data() : nullptr;
  g.residual = t.residual ? res.data() : nullptr;
  g.act = t.act, g.accumulate = t.accumulate, g.alpha = t.alpha;

  // Truth, and what rounding may do to it: 4 u log2(K) of the products' magnitudes, then C's own rounding.
  std::vector<double> want(c0.size()), slack(c0.size());
  for (Index s = 0; s < t.batch; ++s)
    for (Index i = 0; i < t.m; ++i)
      for (Index j = 0; j < t.n; ++j) {
        double sum = 0, magnitude = 0;
        for (Index k = 0; k < t.k; ++k) {
          const double p = value(a[s * a_size + i * g.a.rs + k * g.a.cs]) * value(b[s * g.b_batch + k * g.b.rs + j * g.b.cs]);
          sum += p, magnitude += std::abs(p);
        }
        const Index at = s * c_size + i * ldc + j;
        sum *= t.alpha, magnitude *= std::abs(t.alpha);
        if (t.bias) sum += value(bias[j]), magnitude += 1;
        if (t.residual) sum += value(res[at]), magnitude += 1;
        want[at] = activated(t.act, sum) + (t.accumulate ? value(c0[at]) : 0);
        slack[at] = 4 * sum_unit<Out> * std::log2(t.k + 4.0) * (magnitude + 1) * 1.2 +
                    1.01 * unit<Out> * (std::abs(want[at]) + 1e-3);
      }

  for (const Isa isa : isas) {
    INFO("isa ", isa_name(isa));
    const GemmOf& kernels = gemm_kernels(isa).*of;
    std::vector<Out> first;
    for (int threads = 1; threads <= 3; ++threads) {
      Arena arena({});
      const Context ctx{threads, isa, &arena};
      std::vector<Out> c = c0;
      g.c = c.data(), g.packed_b = nullptr;
      void* packed = nullptr;
      if (t.pack) {
        packed = arena.allocate(kernels.packed_b_bytes(t.n, t.k), "packed");
        kernels.pack_b(ctx, t.n, t.k, g.b, packed);
        g.packed_b = packed;
      }
      kernels.multiply(ctx, g);
      arena.release(packed);
      CHECK(arena.stats().in_use == 0);
      if (threads > 1) {
        CHECK((c.empty() || std::memcmp(c.data(), first.data(), c.size() * sizeof(Out)) == 0));
        continue;
      }
      first = c;
      Index wrong = 0, touched = 0;
      for (Index s = 0; s < t.batch; ++s)
        for (Index i = 0; i < t.m; ++i)
          for (Index j = 0; j < ldc; ++j) {
            const Index at = s * c_size + i * ldc + j;
            if (j < t.n) wrong += !(std::abs(value(c[at]) - want[at]) <= slack[at]);
            else touched += std::memcmp(&c[at], &c0[at], sizeof(Out)) != 0;
          }
      CHECK(wrong == 0);
      CHECK(touched == 0);  // nothing beyond a row's n columns
    }
  }
}

void check_all(const Case& t) {
  check<float, float>(&GemmKernels::f32, t);
  check<double, double>(&GemmKernels::f64, t);
  check<bf16, bf16>(&GemmKernels::bf16, t);
  check<bf16, float>(&GemmKernels::bf16_f32, t);
}

constexpr Layout layouts[] = {Layout::k_inside, Layout::k_outside, Layout::strided};

}  // namespace

TEST_CASE("gemm: every layout, odd sizes") {
  const Index sizes[][3] = {{1, 1, 1}, {5, 7, 3}, {6, 16, 8}, {17, 33, 65}, {29, 31, 257}, {1, 40, 300}, {70, 5, 40}};
  for (const auto& s : sizes)
    for (Layout a : layouts)
      for (Layout b : layouts) check_all({.m = s[0], .n = s[1], .k = s[2], .a = a, .b = b});
}

TEST_CASE("gemm: tall, wide and deep") {
  const Index sizes[][3] = {{1030, 37, 41}, {131, 700, 90}, {40, 44, 5003}, {600, 130, 600}, {70, 1100, 300}};
  for (const auto& s : sizes)
    for (Layout b : {Layout::k_inside, Layout::k_outside}) {
      check_all({.m = s[0], .n = s[1], .k = s[2], .b = b});
      check_all({.m = s[0], .n = s[1], .k = s[2], .a = Layout::k_outside, .b = b, .bias = true});
    }
}

TEST_CASE("gemm: sums of outer products") {
  for (const auto& s : {std::array<Index, 3>{70, 48, 200}, {17, 24, 5003}, {9, 200, 64}, {120, 64, 300}}) {
    check_all({.m = s[0], .n = s[1], .k = s[2], .a = Layout::k_outside, .b = Layout::k_outside});
    check_all({.m = s[0], .n = s[1], .k = s[2], .a = Layout::k_outside, .b = Layout::k_outside, .accumulate = true});
  }
}

TEST_CASE("gemm: few rows") {
  for (Index m = 1; m <= 9; ++m)
    for (Layout b : layouts) check_all({.m = m, .n = 67, .k = 515, .b = b, .bias = true, .act = Activation::relu});
}

TEST_CASE("gemm: nothing to multiply") {
  check_all({.m = 0, .n = 4, .k = 4});
  check_all({.m = 4, .n = 0, .k = 4});
  check_all({.batch = 0, .m = 4, .n = 4, .k = 4});
  check_all({.m = 9, .n = 20, .k = 0, .bias = true, .residual = true});  // C = bias + residual
  check_all({.m = 9, .n = 20, .k = 0, .accumulate = true});
}

TEST_CASE("gemm: bias, residual, accumulate, alpha") {
  for (const auto& s : {std::array<Index, 3>{13, 35, 20}, {40, 70, 900}, {48, 40, 3000}}) {
    check_all({.m = s[0], .n = s[1], .k = s[2], .bias = true});
    check_all({.m = s[0], .n = s[1], .k = s[2], .residual = true, .alpha = 0.5});
    check_all({.m = s[0], .n = s[1], .k = s[2], .bias = true, .residual = true, .accumulate = true});
    check_all({.m = s[0], .n = s[1], .k = s[2], .accumulate = true, .alpha = -2});
  }
}

TEST_CASE("gemm: activations") {
  for (Activation act : {Activation::relu, Activation::silu, Activation::gelu_erf, Activation::gelu_tanh, Activation::quick_gelu})
    for (Index k : {11, 700})
      check_all({.m = 19, .n = 37, .k = k, .bias = true, .residual = true, .act = act});
}

TEST_CASE("gemm: batches") {
  for (Layout b : {Layout::k_inside, Layout::k_outside}) {
    check_all({.batch = 5, .m = 33, .n = 20, .k = 17, .b = b});
    check_all({.batch = 3, .m = 530, .n = 40, .k = 9, .b = b, .bias = true, .residual = true});
    check_all({.batch = 4, .m = 7, .n = 45, .k = 30, .b = b, .shared_b = true});
  }
}

TEST_CASE("gemm: B packed once") {
  for (Layout b : layouts) {
    check_all({.m = 50, .n = 75, .k = 333, .b = b, .pack = true});
    check_all({.batch = 2, .m = 3, .n = 75, .k = 40, .b = b, .bias = true, .pack = true, .act = Activation::relu});
  }
}
