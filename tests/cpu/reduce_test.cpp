// Reductions against double loops: rows and columns, short and long, all sets, equal bits for 1, 2, 3 threads.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "cpu/reduce.hpp"
#include "kernel_test.hpp"

namespace {
using namespace sspo;
using namespace sspo::cpu;
using namespace sspo::testing;

template <class T> const ReduceOf& reduce_of(Isa isa) {
  const ReduceKernels& k = reduce_kernels(isa);
  if constexpr (std::is_integral_v<T>) return k.i64;
  else if constexpr (sizeof(T) == 8) return k.f64;
  else if constexpr (sizeof(T) == 2) return k.bf16;
  else return k.f32;
}
struct Shape3 { Index O, R, I; };
const Shape3 shapes[] = {{1, 1, 1},   {3, 5, 1},  {100, 77, 1}, {2, 70000, 1}, {1, 200000, 1}, {5, 33, 3},    {2, 9, 64},
                         {40, 7, 10}, {1, 3000, 16}, {1, 50, 1500}, {1, 9000, 130}, {3, 2, 2500}, {500, 4, 5}, {1, 40000, 2}};

template <class V> bool beats(V a, V b) { return a > b || (a != a && b == b); }

TEST_CASE_TEMPLATE("reduce: odd shapes", T, float, double, bf16) {
  Arena arena({});
  const double tol = sizeof(T) == 8 ? 1e-12 : sizeof(T) == 4 ? 5e-7 : 4e-3;
  for_each_isa([&](Isa isa) {
    for (const Shape3& s : shapes)
      for (bool has_nan : {false, true}) {
        CAPTURE(s.O); CAPTURE(s.R); CAPTURE(s.I); CAPTURE(has_nan);
        const std::size_t outs = std::size_t(s.O * s.I);
        auto x = rounded<T>(randn(s.O * s.R * s.I, 1, 0.5));
        if (has_nan) x[x.size() / 2] = x[x.size() - 1] = make<T>(NAN);
        const auto center = rounded<T>(randn(s.O * s.I, 2));
        Doubles sum(outs), squares(outs), centered(outs), max(outs), min(outs), size(outs), size2(outs);
        std::vector<std::int64_t> where(outs);
        for (Index o = 0; o < s.O; ++o)
          for (Index i = 0; i < s.I; ++i) {
            const std::size_t k = std::size_t(o * s.I + i);
            max[k] = min[k] = value(x[std::size_t(o * s.R * s.I + i)]);
            for (Index r = 0; r < s.R; ++r) {
              const double v = value(x[std::size_t((o * s.R + r) * s.I + i)]), c = v - value(center[k]);
              sum[k] += v; size[k] += std::fabs(v); squares[k] += v * v; centered[k] += c * c; size2[k] += v * v + c * c;
              if (beats(v, max[k])) { max[k] = v; where[k] = r; }
              if (beats(-v, -min[k])) min[k] = v;
            }
          }
        std::vector<T> one;
        std::vector<std::int64_t> one_where;
        for (int threads : {1, 2, 3}) {
          const Context ctx{threads, isa, &arena};
          const ReduceOf& k = reduce_of<T>(isa);
          const auto call = [&](auto f, const void* c, double divisor) {
            std::vector<T> y(outs, make<T>(7));
            f(ctx, {s.O, s.R, s.I, x.data(), y.data(), c, divisor});
            return y;
          };
          const auto sums = call(k.sum, nullptr, 3), sq = call(k.sum_squares, nullptr, 1), sc = call(k.sum_squares, center.data(), 1);
          const auto mx = call(k.max, nullptr, 1), mn = call(k.min, nullptr, 1);
          std::vector<std::int64_t> at(outs, -1);
          k.argmax(ctx, {s.O, s.R, s.I, x.data(), at.data()});
          std::vector<T> all;
          for (const auto* v : {&sums, &sq, &sc, &mx, &mn}) all.insert(all.end(), v->begin(), v->end());
          if (threads > 1) { CHECK(same_bits(all, one)); CHECK(at == one_where); continue; }
          one = all;
          one_where = at;
          CHECK(at == where);
          for (std::size_t j = 0; j < outs; ++j) {
            if (std::isnan(sum[j])) {
              REQUIRE(std::isnan(value(sums[j])));
              REQUIRE(std::isnan(value(mx[j])));
              REQUIRE(std::isnan(value(mn[j])));
              continue;
            }
            REQUIRE(std::fabs(value(sums[j]) - sum[j] / 3) <= tol * size[j] / 3);
            REQUIRE(std::fabs(value(sq[j]) - squares[j]) <= tol * size2[j]);
            REQUIRE(std::fabs(value(sc[j]) - centered[j]) <= tol * size2[j]);
            REQUIRE(value(mx[j]) == max[j]);
            REQUIRE(value(mn[j]) == min[j]);
          }
        }
      }
  });
}

TEST_CASE("reduce: i64") {
  Arena arena({});
  for_each_isa([&](Isa isa) {
    for (const Shape3& s : shapes) {
      CAPTURE(s.O); CAPTURE(s.R); CAPTURE(s.I);
      std::mt19937_64 rng(3);
      std::vector<std::int64_t> x(std::size_t(s.O * s.R * s.I));
      for (auto& v : x) v = std::int64_t(rng()) / 1000003;
      const ReduceOf& k = reduce_kernels(isa).i64;
      const Context ctx{2, isa, &arena};
      std::vector<std::int64_t> y(std::size_t(s.O * s.I)), want[4];
      for (Index o = 0; o < s.O; ++o)
        for (Index i = 0; i < s.I; ++i) {
          std::int64_t sum = 0, max = std::numeric_limits<std::int64_t>::min(), min = std::numeric_limits<std::int64_t>::max(), at = 0;
          for (Index r = 0; r < s.R; ++r) {
            const std::int64_t v = x[std::size_t((o * s.R + r) * s.I + i)];
            sum += v;
            if (v > max) { max = v; at = r; }
            min = std::min(min, v);
          }
          want[0].push_back(sum); want[1].push_back(max); want[2].push_back(min); want[3].push_back(at);
        }
      int op = 0;
      for (auto f : {k.sum, k.max, k.min, k.argmax}) {
        f(ctx, {s.O, s.R, s.I, x.data(), y.data()});
        CHECK(y == want[op++]);
      }
    }
  });
}

TEST_CASE("reduce: 2^20 bf16 ones, f32 output, sums of nothing, ties, accuracy, dot") {
  Arena arena({});
  for_each_isa([&](Isa isa) {
    const Context ctx{2, isa, &arena};
    const ReduceKernels& k = reduce_kernels(isa);
    const Index n = 1 << 20;
    const std::vector<bf16> ones(std::size_t(n), bf16(1.f));
    for (Index inner : {1, 2, 1024}) {
      std::vector<float> y(static_cast<std::size_t>(inner));
      std::vector<bf16> z(static_cast<std::size_t>(inner));
      k.bf16_f32.sum(ctx, {1, n / inner, inner, ones.data(), y.data()});
      k.bf16.sum(ctx, {1, n / inner, inner, ones.data(), z.data()});
      for (float v : y) CHECK(v == float(n / inner));
      for (bf16 v : z) CHECK(to_float(v) == float(n / inner));
    }
    std::vector<float> y(6, 5.f);
    k.f32.sum(ctx, {2, 0, 3, nullptr, y.data()});
    CHECK(y == std::vector<float>(6, 0.f));
    k.f32.sum(ctx, {6, 0, 1, nullptr, y.data()});
    CHECK(y == std::vector<float>(6, 0.f));
    k.f32.sum(ctx, {0, 5, 1, nullptr, nullptr});

    const std::vector<float> equal(100, 2.f), low(100, -INFINITY);
    std::int64_t at[10];
    for (const auto* v : {&equal, &low}) {
      k.f32.argmax(ctx, {1, 100, 1, v->data(), at});
      CHECK(at[0] == 0);
      k.f32.argmax(ctx, {1, 10, 10, v->data(), at});
      for (auto a : at) CHECK(a == 0);
    }

    // Against plain f32 arithmetic: no more than twice its error (it is far less).
    const auto x = rounded<float>(randn(n, 4, 1));
    double truth = 0, square = 0;
    float plain = 0;
    for (float v : x) { truth += double(v); square += double(v) * double(v); plain += v; }
    float got;
    k.f32.sum(ctx, {1, n, 1, x.data(), &got});
    CHECK(std::fabs(double(got) - truth) <= 2 * std::fabs(double(plain) - truth));
    CHECK(std::fabs(double(got) - truth) <= 1e-7 * truth);
    CHECK(std::fabs(k.f32.dot(ctx, x.data(), x.data(), n - 3) - square + double(x[std::size_t(n - 1)]) * double(x[std::size_t(n - 1)]) +
                    double(x[std::size_t(n - 2)]) * double(x[std::size_t(n - 2)]) + double(x[std::size_t(n - 3)]) * double(x[std::size_t(n - 3)])) <= 1e-11 * square);
    CHECK(k.bf16.dot(ctx, ones.data(), ones.data(), n) == double(n));
    CHECK(k.f32.dot(ctx, nullptr, nullptr, 0) == 0);
    const double d = k.f32.dot(ctx, x.data(), x.data(), n);
    CHECK(d == k.f32.dot({1, isa, &arena}, x.data(), x.data(), n));
    CHECK(d == k.f32.dot({3, isa, &arena}, x.data(), x.data(), n));
  });
}

}  // namespace
