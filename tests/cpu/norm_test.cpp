// Group norm and layer norm against double loops: odd shapes, all sets, equal bits for 1, 2, 3 threads.
#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "cpu/norm.hpp"
#include "kernel_test.hpp"

namespace {
using namespace sspo;
using namespace sspo::cpu;
using namespace sspo::testing;

template <class T> const NormOf& norm_of(Isa isa) {
  const NormKernels& k = norm_kernels(isa);
  if constexpr (sizeof(T) == 8) return k.f64;
  else if constexpr (sizeof(T) == 2) return k.bf16;
  else return k.f32;
}
// The mathematics, one group at a time: members(i) is the place in memory of the group's i-th element.
struct Shape3 { Index B, P, C, G; };
struct Truth { Doubles y, mean, rstd, dx, dgamma, dbeta; };
Truth truth_of(Shape3 s, bool silu, const Doubles& x, const Doubles* gamma, const Doubles* beta, const Doubles& g, double eps) {
  Truth t;
  t.y.resize(x.size()); t.dx.resize(x.size());
  t.dgamma.assign(std::size_t(s.C), 0); t.dbeta.assign(std::size_t(s.C), 0);
  const Index D = s.C / s.G, N = D * s.P;
  for (Index b = 0; b < s.B; ++b)
    for (Index j = 0; j < s.G; ++j) {
      const auto place = [&](Index i) { return std::size_t((b * s.P + i / D) * s.C + j * D + i % D); };
      long double sum = 0, square = 0;
      for (Index i = 0; i < N; ++i) sum += x[place(i)];
      const double mean = double(sum / N);
      for (Index i = 0; i < N; ++i) square += (x[place(i)] - sum / N) * (x[place(i)] - sum / N);
      const double rstd = double(1 / std::sqrt(square / N + eps));
      t.mean.push_back(mean);
      t.rstd.push_back(rstd);
      long double m1 = 0, m2 = 0;
      Doubles d(static_cast<std::size_t>(N)), n(static_cast<std::size_t>(N));
      for (Index i = 0; i < N; ++i) {
        const std::size_t k = std::size_t(i), at = place(i), c = at % std::size_t(s.C);
        const double gm = gamma ? (*gamma)[c] : 1, bt = beta ? (*beta)[c] : 0;
        n[k] = double((x[at] - sum / N) * rstd);
        const double z = n[k] * gm + bt, sig = 1 / (1 + std::exp(-z));
        t.y[at] = silu ? z * sig : z;
        const double dz = g[at] * (silu ? sig * (1 + z * (1 - sig)) : 1);
        t.dgamma[c] += dz * n[k];
        t.dbeta[c] += dz;
        d[k] = dz * gm;
        m1 += d[k];
        m2 += d[k] * n[k];
      }
      for (Index i = 0; i < N; ++i) t.dx[place(i)] = double(rstd * (d[std::size_t(i)] - m1 / N - n[std::size_t(i)] * m2 / N));
    }
  return t;
}

template <class T> struct Result { std::vector<T> y, dx, dgamma, dbeta; Doubles mean, rstd; };
template <class T>
bool equal(const Result<T>& a, const Result<T>& b) {
  return same_bits(a.y, b.y) && same_bits(a.dx, b.dx) && same_bits(a.dgamma, b.dgamma) && same_bits(a.dbeta, b.dbeta) &&
         same_bits(a.mean, b.mean) && same_bits(a.rstd, b.rstd);
}
template <class T>
Result<T> group_norm(const Context& ctx, Shape3 s, bool silu, const std::vector<T>& x, const T* gamma, const T* beta, const std::vector<T>& g, double eps) {
  Result<T> r;
  const T nan = make<T>(NAN);
  r.y.assign(x.size(), nan); r.dx.assign(x.size(), nan);
  r.dgamma.assign(std::size_t(s.C), nan); r.dbeta.assign(std::size_t(s.C), nan);
  r.mean.assign(std::size_t(s.B * s.G), NAN); r.rstd.assign(std::size_t(s.B * s.G), NAN);
  const NormOf& k = norm_of<T>(ctx.isa);
  k.group_norm(ctx, {s.B, s.P, s.C, s.G, eps, silu, x.data(), gamma, beta, r.y.data(), r.mean.data(), r.rstd.data()});
  k.group_norm_grad(ctx, {s.B, s.P, s.C, s.G, silu, x.data(), gamma, beta, g.data(), r.mean.data(), r.rstd.data(), r.dx.data(), r.dgamma.data(), r.dbeta.data()});
  return r;
}
template <class T>
Result<T> layer_norm(const Context& ctx, Index rows, Index C, const std::vector<T>& x, const T* gamma, const T* beta, const std::vector<T>& g, double eps) {
  Result<T> r;
  const T nan = make<T>(NAN);
  r.y.assign(x.size(), nan); r.dx.assign(x.size(), nan);
  r.dgamma.assign(std::size_t(C), nan); r.dbeta.assign(std::size_t(C), nan);
  r.mean.assign(std::size_t(rows), NAN); r.rstd.assign(std::size_t(rows), NAN);
  const NormOf& k = norm_of<T>(ctx.isa);
  k.layer_norm(ctx, {rows, C, eps, x.data(), gamma, beta, r.y.data(), r.mean.data(), r.rstd.data()});
  k.layer_norm_grad(ctx, {rows, C, x.data(), gamma, g.data(), r.mean.data(), r.rstd.data(), r.dx.data(), r.dgamma.data(), r.dbeta.data()});
  return r;
}
template <class T>
void check(const Result<T>& r, const Truth& t) {
  const double tol = tolerance<T>(), sums = sizeof(T) == 2 ? 1.2e-2 : tol * 3;
  CHECK(error(values(r.y), t.y) <= tol);
  CHECK(error(r.mean, t.mean, 1) <= 1e-6);
  CHECK(error(r.rstd, t.rstd) <= 1e-6);
  CHECK(error(values(r.dx), t.dx, *std::max_element(t.rstd.begin(), t.rstd.end())) <= tol * 2);  // dx = r (differences of ~1)
  CHECK(error(values(r.dgamma), t.dgamma) <= sums);
  CHECK(error(values(r.dbeta), t.dbeta) <= sums);
}

TEST_CASE_TEMPLATE("group norm: odd shapes", T, float, double, bf16) {
  const Shape3 shapes[] = {{1, 1, 1, 1}, {2, 3, 4, 2}, {1, 5, 7, 7}, {3, 17, 24, 3}, {2, 64, 64, 32}, {1, 400, 320, 32}, {2, 700, 66, 6}, {1, 9, 5000, 4}};
  Arena arena({});
  for_each_isa([&](Isa isa) {
    for (const Shape3& s : shapes)
      for (int variant = 0; variant < 3; ++variant) {  // plain; silu; silu without gamma and beta
        CAPTURE(s.B); CAPTURE(s.P); CAPTURE(s.C); CAPTURE(variant);
        const auto x = rounded<T>(randn(s.B * s.P * s.C, 1, 0.5)), g = rounded<T>(randn(s.B * s.P * s.C, 2));
        const auto gamma = rounded<T>(randn(s.C, 3, 1, 0.3)), beta = rounded<T>(randn(s.C, 4, 0, 0.5));
        const Doubles dg = values(gamma), db = values(beta);
        const bool affine = variant < 2, silu = variant > 0;
        const Truth t = truth_of(s, silu, values(x), affine ? &dg : nullptr, affine ? &db : nullptr, values(g), 1e-5);
        Result<T> one;
        for (int threads : {1, 2, 3}) {
          const Context ctx{threads, isa, &arena};
          const auto r = group_norm(ctx, s, silu, x, affine ? gamma.data() : nullptr, affine ? beta.data() : nullptr, g, 1e-5);
          if (threads == 1) { check(r, t); one = r; }
          else CHECK(equal(one, r));
        }
      }
  });
}

TEST_CASE_TEMPLATE("layer norm: odd shapes", T, float, double, bf16) {
  const Index shapes[][2] = {{1, 1}, {3, 5}, {7, 64}, {130, 77}, {65, 320}, {3, 5000}, {1100, 33}};
  Arena arena({});
  for_each_isa([&](Isa isa) {
    for (const auto& shape : shapes)
      for (bool affine : {true, false}) {
        const Index rows = shape[0], C = shape[1];
        CAPTURE(rows); CAPTURE(C);
        const auto x = rounded<T>(randn(rows * C, 1, 0.5)), g = rounded<T>(randn(rows * C, 2));
        const auto gamma = rounded<T>(randn(C, 3, 1, 0.3)), beta = rounded<T>(randn(C, 4, 0, 0.5));
        const Doubles dg = values(gamma), db = values(beta);
        const Truth t = truth_of({rows, 1, C, 1}, false, values(x), affine ? &dg : nullptr, affine ? &db : nullptr, values(g), 1e-5);
        Result<T> one;
        for (int threads : {1, 2, 3}) {
          const Context ctx{threads, isa, &arena};
          const auto r = layer_norm(ctx, rows, C, x, affine ? gamma.data() : nullptr, affine ? beta.data() : nullptr, g, 1e-5);
          if (threads == 1) { check(r, t); one = r; }
          else CHECK(equal(one, r));
        }
      }
  });
}

TEST_CASE_TEMPLATE("norms: mean 1e4 with std 1e-2, outliers first, constants", T, float, double) {
  Arena arena({});
  for_each_isa([&](Isa isa) {
    const Context ctx{2, isa, &arena};
    const Shape3 s{2, 900, 64, 8};
    const Index n = s.B * s.P * s.C;
    for (int kind = 0; kind < 2; ++kind) {
      Doubles x0 = randn(n, 5, 1e4, 1e-2);
      if (kind == 1) for (Index c = 0; c < s.C; ++c) x0[std::size_t(c)] = 0;  // the origin of the sums, far from all others
      const auto x = rounded<T>(x0), g = rounded<T>(randn(n, 6));
      const Truth tg = truth_of(s, true, values(x), nullptr, nullptr, values(g), 1e-12);
      const auto rg = group_norm<T>(ctx, s, true, x, nullptr, nullptr, g, 1e-12);
      const Truth tl = truth_of({s.B * s.P, 1, s.C, 1}, false, values(x), nullptr, nullptr, values(g), 1e-12);
      const auto rl = layer_norm<T>(ctx, s.B * s.P, s.C, x, nullptr, nullptr, g, 1e-12);
      CHECK(error(values(rg.y), tg.y) <= 1e-5);
      CHECK(error(values(rg.dx), tg.dx) <= 1e-5);
      CHECK(error(rg.rstd, tg.rstd) <= 1e-7);
      CHECK(error(values(rl.y), tl.y) <= 1e-4);
      CHECK(error(values(rl.dx), tl.dx) <= 1e-4);
      CHECK(error(rl.rstd, tl.rstd) <= 1e-5);
    }
    for (double constant : {0.1, -3.3333, 12345.678}) {
      const auto x = rounded<T>(Doubles(std::size_t(n), constant)), g = rounded<T>(randn(n, 7));
      const auto rg = group_norm<T>(ctx, s, false, x, nullptr, nullptr, g, 1.0 / 16);
      const auto rl = layer_norm<T>(ctx, s.B * s.P, s.C, x, nullptr, nullptr, g, 1.0 / 16);
      for (double r : rg.rstd) CHECK(r == 4);
      for (double r : rl.rstd) CHECK(r == 4);
      for (T v : rg.y) REQUIRE(v == 0);
      for (T v : rl.y) REQUIRE(v == 0);
    }
  });
}

TEST_CASE("norms: empty, in place, NaN") {
  Arena arena({});
  for_each_isa([&](Isa isa) {
    const Context ctx{2, isa, &arena};
    const std::vector<float> none;
    for (Shape3 s : {Shape3{0, 4, 6, 2}, Shape3{2, 0, 6, 2}}) {
      const auto r = group_norm<float>(ctx, s, true, none, nullptr, nullptr, none, 1e-5);
      for (float v : r.dgamma) CHECK(v == 0);
    }
    const auto r = layer_norm<float>(ctx, 0, 6, none, nullptr, nullptr, none, 1e-5);
    for (float v : r.dbeta) CHECK(v == 0);
    const Shape3 s{1, 300, 320, 32};
    auto x = rounded<float>(randn(300 * 320, 8)), g = rounded<float>(randn(300 * 320, 9));
    const auto apart = group_norm<float>(ctx, s, true, x, nullptr, nullptr, g, 1e-5);
    std::vector<float> y = x, dx = g;
    Doubles mean(32), rstd(32);
    norm_kernels(isa).f32.group_norm(ctx, {1, 300, 320, 32, 1e-5, true, y.data(), nullptr, nullptr, y.data(), mean.data(), rstd.data()});
    norm_kernels(isa).f32.group_norm_grad(ctx, {1, 300, 320, 32, true, x.data(), nullptr, nullptr, dx.data(), mean.data(), rstd.data(), dx.data(), nullptr, nullptr});
    CHECK(y == apart.y);
    CHECK(dx == apart.dx);
    x[5 * 320 + 15] = NAN;  // group 1 alone
    const auto bad = group_norm<float>(ctx, s, true, x, nullptr, nullptr, g, 1e-5);
    for (Index i = 0; i < 300 * 320; ++i) REQUIRE(std::isnan(bad.y[std::size_t(i)]) == (i % 320 / 10 == 1));
  });
}

}  // namespace
