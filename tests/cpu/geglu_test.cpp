// GEGLU against double loops: odd shapes, all sets, equal bits for 1, 2, 3 threads.
#include <cmath>

#include "cpu/geglu.hpp"
#include "kernel_test.hpp"

namespace {
using namespace sspo;
using namespace sspo::cpu;
using namespace sspo::testing;

template <class T> const GegluOf& geglu_of(Isa isa) {
  const GegluKernels& k = geglu_kernels(isa);
  if constexpr (sizeof(T) == 8) return k.f64;
  else if constexpr (sizeof(T) == 2) return k.bf16;
  else return k.f32;
}

TEST_CASE_TEMPLATE("geglu: odd shapes", T, float, double, bf16) {
  Arena arena({});
  const double tol = sizeof(T) == 8 ? 1e-14 : sizeof(T) == 4 ? 1e-6 : 8e-3;
  const Index shapes[][2] = {{0, 4}, {4, 0}, {1, 1}, {3, 5}, {70, 77}, {500, 64}, {2, 20001}};
  for_each_isa([&](Isa isa) {
    for (const auto& shape : shapes) {
      const Index rows = shape[0], width = shape[1];
      CAPTURE(rows); CAPTURE(width);
      const auto h = rounded<T>(randn(rows * width * 2, 1, 0, 3)), g = rounded<T>(randn(rows * width, 2));
      Doubles y(g.size()), dh(h.size());
      for (Index r = 0; r < rows; ++r)
        for (Index i = 0; i < width; ++i) {
          const std::size_t at = std::size_t(r * 2 * width + i), bt = at + std::size_t(width), o = std::size_t(r * width + i);
          const double a = value(h[at]), b = value(h[bt]), d = value(g[o]);
          const double cdf = std::erfc(-b * 0.70710678118654752440) / 2, pdf = std::exp(-b * b / 2) * 0.39894228040143267794;
          y[o] = a * b * cdf;
          dh[at] = d * b * cdf;
          dh[bt] = d * a * (cdf + b * pdf);
        }
      std::vector<T> one;
      for (int threads : {1, 2, 3}) {
        const Context ctx{threads, isa, &arena};
        std::vector<T> got(g.size(), make<T>(NAN)), grad(h.size(), make<T>(NAN));
        geglu_of<T>(isa).geglu(ctx, {rows, width, h.data(), got.data()});
        geglu_of<T>(isa).geglu_grad(ctx, {rows, width, h.data(), g.data(), grad.data()});
        if (threads == 1) {
          CHECK(error(values(got), y) <= tol);
          CHECK(error(values(grad), dh) <= tol);
        }
        got.insert(got.end(), grad.begin(), grad.end());
        if (threads == 1) one = got;
        else CHECK(same_bits(one, got));
      }
    }
  });
}

}  // namespace
