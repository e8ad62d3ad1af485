// Softmax and its logarithm against long double: odd shapes, all sets, equal bits for 1, 2, 3 threads.
#include <cmath>

#include "cpu/softmax.hpp"
#include "kernel_test.hpp"

namespace {
using namespace sspo;
using namespace sspo::cpu;
using namespace sspo::testing;

template <class T> const SoftmaxOf& softmax_of(Isa isa) {
  const SoftmaxKernels& k = softmax_kernels(isa);
  if constexpr (sizeof(T) == 8) return k.f64;
  else if constexpr (sizeof(T) == 2) return k.bf16;
  else return k.f32;
}

void truth_row(const double* x, const double* g, double* y, double* dx, Index n, bool log) {
  long double max = -INFINITY, sum = 0, dot = 0;
  for (Index i = 0; i < n; ++i) max = x[i] > max ? x[i] : max;
  for (Index i = 0; i < n; ++i) sum += std::exp(x[i] - max);
  for (Index i = 0; i < n; ++i) {
    const long double p = std::exp(x[i] - max) / sum;
    y[i] = double(log ? (x[i] - max) - std::log(sum) : p);
    dot += log ? g[i] : p * g[i];
  }
  for (Index i = 0; i < n; ++i) {
    const long double p = std::exp(x[i] - max) / sum;
    dx[i] = double(log ? g[i] - p * dot : p * (g[i] - dot));
  }
}

TEST_CASE_TEMPLATE("softmax: odd shapes, small and huge logits", T, float, double, bf16) {
  Arena arena({});
  const double tol = sizeof(T) == 8 ? 1e-13 : sizeof(T) == 4 ? 2e-6 : 1e-2;
  const Index shapes[][2] = {{1, 1}, {3, 5}, {70, 77}, {500, 64}, {5, 1023}, {2, 9001}, {1, 40000}};
  for_each_isa([&](Isa isa) {
    for (const auto& shape : shapes)
      for (double scale : {1.0, 1e4})
        for (bool log : {false, true}) {
          const Index rows = shape[0], cols = shape[1];
          CAPTURE(rows); CAPTURE(cols); CAPTURE(scale); CAPTURE(log);
          const auto x = rounded<T>(randn(rows * cols, 1, 0, scale)), g = rounded<T>(randn(rows * cols, 2));
          const Doubles dx0 = values(x), dg0 = values(g);
          Doubles y(x.size()), dx(x.size());
          for (Index r = 0; r < rows; ++r) truth_row(&dx0[r * cols], &dg0[r * cols], &y[r * cols], &dx[r * cols], cols, log);
          std::vector<T> one;
          for (int threads : {1, 2, 3}) {
            const Context ctx{threads, isa, &arena};
            std::vector<T> got(x.size(), make<T>(NAN)), grad = got;
            softmax_of<T>(isa).softmax(ctx, {rows, cols, log, x.data(), got.data()});
            softmax_of<T>(isa).softmax_grad(ctx, {rows, cols, log, got.data(), g.data(), grad.data()});
            got.insert(got.end(), grad.begin(), grad.end());
            if (threads == 1) {
              const Doubles v = values(got);
              const std::ptrdiff_t n = std::ptrdiff_t(x.size());
              CHECK(error(Doubles(v.begin(), v.begin() + n), y, 1e-3) <= tol);
              // From y rounded to T, so log's gradient is as good as its largest e^y |y|.
              CHECK(error(Doubles(v.begin() + n, v.end()), dx, 1e-3) <= (log ? 30 : 4) * tol);
              one = got;
            } else CHECK(same_bits(one, got));
          }
        }
  });
}

TEST_CASE("softmax: NaN, infinities, -inf rows, masked entries, in place, empty") {
  Arena arena({});
  const float inf = INFINITY;
  for_each_isa([&](Isa isa) {
    const Context ctx{2, isa, &arena};
    const SoftmaxOf& k = softmax_kernels(isa).f32;
    for (bool log : {false, true})
      for (Index n : {3, 8, 37}) {
        for (float special : {NAN, inf, -inf}) {
          std::vector<float> x(std::size_t(n), special == -inf ? -inf : 1.f);
          x[std::size_t(n - 1)] = special;
          k.softmax(ctx, {1, n, log, x.data(), x.data()});
          for (float v : x) CHECK(std::isnan(v));
        }
        std::vector<float> x(std::size_t(n), -inf);
        x[1] = 5;
        k.softmax(ctx, {1, n, log, x.data(), x.data()});
        for (Index i = 0; i < n; ++i) CHECK(x[std::size_t(i)] == (i == 1 ? (log ? 0.f : 1.f) : (log ? -inf : 0.f)));
      }
    k.softmax(ctx, {0, 5, false, nullptr, nullptr});
    k.softmax_grad(ctx, {5, 0, false, nullptr, nullptr, nullptr});
  });
}

}  // namespace
