// Reductions on the device against the CPU: rows and columns of every kind, ties and NaN, any schedule, traffic.
#include "reduce.hpp"

#include "streaming_test.hpp"

namespace {
using namespace sspo;
using namespace sspo::cuda;
using namespace sspo::cuda::streaming;
using namespace sspo::kernels;

using I64 = std::int64_t;
struct Shape { Index outer, count, inner, offset = 0; };
const Shape shapes[] = {{1, 1, 1}, {5, 3, 1}, {70, 33, 1}, {9, 64, 1}, {9, 64, 1, 1}, {3, 1000, 1}, {2, 5000, 1}, {1, 70000, 1}, {1, 40001, 1}, {3, 0, 1}, {2, 0, 3},
                        {1, 5, 3}, {2, 17, 40}, {3, 100, 8}, {1, 3000, 24}, {2, 9, 700}, {1, 60, 1031}, {1, 40, 64, 1}};

void reduce_by(Reduction kind, const Context& ctx, DType in, DType out, const ReductionArgs& a) {
  switch (kind) {
    case Reduction::sum: return reduce_sum(ctx, in, out, a);
    case Reduction::sum_squares: return reduce_sum_squares(ctx, in, out, a);
    case Reduction::max: return reduce_max(ctx, in, out, a);
    case Reduction::min: return reduce_min(ctx, in, out, a);
    case Reduction::argmax: return reduce_argmax(ctx, in, a);
  }
}
template <class T, class Y> Results on_device(TestDevice& d, Reduction kind, const Shape& s, const std::vector<T>& x, const std::vector<Y>* center, double divisor) {
  const Placed<T> dx(d, x, s.offset);
  const Placed<Y> dy(d, std::vector<Y>(std::size_t(s.outer * s.inner)), s.offset), dc(d, center ? *center : std::vector<Y>(), s.offset);
  reduce_by(kind, d.ctx, dtype_of<T>, dtype_of<Y>, {s.outer, s.count, s.inner, dx.data(), dy.data(), center ? dc.data() : nullptr, divisor});
  return {dy.host()};
}
// In f64; i64 as it is.
template <class T, class Y> Doubles truth_of(Reduction kind, const Shape& s, const std::vector<T>& x, const std::vector<Y>* center, double divisor) {
  constexpr bool whole = std::is_same_v<T, I64>;
  using N = std::conditional_t<whole, I64, double>;
  std::vector<N> numbers_of;
  for (T v : x) {
    if constexpr (whole) numbers_of.push_back(v);
    else numbers_of.push_back(number(v));
  }
  const Doubles c = center ? numbers(*center) : Doubles();
  const std::size_t n = std::size_t(s.outer * s.inner);
  std::vector<N> y(n);
  std::vector<I64> at(n);
  on_cpu().reduce(kind, dtype_of<N>, kind == Reduction::argmax ? DType::i64 : dtype_of<N>,
                  {s.outer, s.count, s.inner, numbers_of.data(), kind == Reduction::argmax ? static_cast<void*>(at.data()) : y.data(), center ? c.data() : nullptr, divisor});
  return kind == Reduction::argmax ? numbers(at) : numbers(y);
}

template <class T, class Y> void check_sums() {
  TestDevice d;
  const double tol = sizeof(Y) == 8 ? 1e-14 : sizeof(Y) == 4 ? 3e-7 : 4e-3;
  for (const Shape& s : shapes) {
    CAPTURE(s.outer); CAPTURE(s.count); CAPTURE(s.inner); CAPTURE(s.offset);
    const auto x = randn<T>(s.outer * s.count * s.inner, 1, 0.5);
    const auto center = randn<Y>(s.outer * s.inner, 2, 0.5, 0.1);
    const std::vector<Y>* const none = nullptr;
    const double size = std::sqrt(double(s.count) + 1);  // of a sum of as many random signs
    CHECK(error(repeatable([&] { return on_device<T, Y>(d, Reduction::sum, s, x, none, 1); })[0], truth_of<T, Y>(Reduction::sum, s, x, none, 1), size) <= tol);
    CHECK(error(repeatable([&] { return on_device<T, Y>(d, Reduction::sum_squares, s, x, &center, 3); })[0], truth_of<T, Y>(Reduction::sum_squares, s, x, &center, 3), 1) <= tol);
    CHECK(error(on_device<T, Y>(d, Reduction::sum_squares, s, x, none, 1)[0], truth_of<T, Y>(Reduction::sum_squares, s, x, none, 1), 1) <= tol);
  }
}
TEST_CASE("sums, f32") { check_sums<float, float>(); }
TEST_CASE("sums, f64") { check_sums<double, double>(); }
TEST_CASE("sums, bf16") { check_sums<bf16, bf16>(); }
TEST_CASE("sums, bf16 to f32") { check_sums<bf16, float>(); }

TEST_CASE_TEMPLATE("max, min, argmax and i64: exact", T, float, double, bf16, I64) {
  TestDevice d;
  for (const Shape& s : shapes) {
    CAPTURE(s.outer); CAPTURE(s.count); CAPTURE(s.inner); CAPTURE(s.offset);
    const auto x = randn<T>(s.outer * s.count * s.inner, 1, 0, 20);  // of i64 and bf16 many are equal
    const std::vector<T>* const none = nullptr;
    for (Reduction kind : {Reduction::max, Reduction::min}) CHECK(repeatable([&] { return on_device<T, T>(d, kind, s, x, none, 1); })[0] == truth_of<T, T>(kind, s, x, none, 1));
    if (s.count > 0) CHECK(repeatable([&] { return on_device<T, I64>(d, Reduction::argmax, s, x, nullptr, 1); })[0] == truth_of<T, I64>(Reduction::argmax, s, x, nullptr, 1));
    if constexpr (std::is_same_v<T, I64>) CHECK(repeatable([&] { return on_device<T, T>(d, Reduction::sum, s, x, none, 1); })[0] == truth_of<T, T>(Reduction::sum, s, x, none, 1));
  }
}

TEST_CASE("reductions: NaN, infinities, 2^18 bf16 ones, unsupported dtypes") {
  TestDevice d;
  const std::vector<float>* const none = nullptr;
  for (const Shape& s : {Shape{1, 50, 1}, Shape{1, 9000, 1}, Shape{1, 300, 4}}) {
    std::vector<float> x(std::size_t(s.count * s.inner), -INFINITY);
    CHECK(on_device<float, float>(d, Reduction::max, s, x, none, 1)[0][0] == -INFINITY);
    CHECK(on_device<float, I64>(d, Reduction::argmax, s, x, nullptr, 1)[0][0] == 0);
    x[std::size_t(7 * s.inner)] = 3;
    x[std::size_t(40 * s.inner)] = NAN;
    x[std::size_t(45 * s.inner)] = NAN;
    CHECK(std::isnan(on_device<float, float>(d, Reduction::max, s, x, none, 1)[0][0]));
    CHECK(std::isnan(on_device<float, float>(d, Reduction::min, s, x, none, 1)[0][0]));
    CHECK(on_device<float, I64>(d, Reduction::argmax, s, x, nullptr, 1)[0][0] == 40);
  }
  const Index many = checking() ? 1 << 15 : 1 << 18;
  CHECK(on_device<bf16, float>(d, Reduction::sum, {1, many, 1}, std::vector<bf16>(std::size_t(many), bf16(1.0f)), nullptr, 1)[0][0] == double(many));
  CHECK_THROWS(reduce_sum(d.ctx, DType::f32, DType::f64, {1, 1, 1, nullptr, nullptr}));
  CHECK_THROWS(reduce_sum_squares(d.ctx, DType::i64, DType::i64, {1, 1, 1, nullptr, nullptr}));
  no_findings();
}

TEST_CASE_TEMPLATE("sum of squares in f64", T, float, double, bf16) {
  TestDevice d;
  for (Index n : {0, 1, 100, 4097, 50000}) {
    const auto x = randn<T>(n, 1);
    const Placed<T> dx(d, x);
    double truth = 0;
    for (double v : numbers(x)) truth += v * v;
    const View all{const_cast<T*>(dx.data()), dtype_of<T>, {n}, {1}}, half{all.data, all.dtype, {n / 2}, {1}};
    const Results got = repeatable([&] {
      Results sums{{0, 0, 0}};
      sums_of_squares(d.ctx, std::vector<View>{all, half, all}, sums[0].data());
      return sums;
    });
    double half_truth = 0;
    for (const std::vector<double> values = numbers(x); const double v : std::span(values).first(std::size_t(n / 2))) half_truth += v * v;
    CHECK(std::fabs(got[0][0] - truth) <= 1e-13 * truth);
    CHECK(std::fabs(got[0][1] - half_truth) <= 1e-13 * half_truth);
    CHECK(got[0][2] == got[0][0]);
  }
}

TEST_CASE("reductions: traffic" * doctest::skip(!checking())) {
  TestDevice d;
  const std::vector<float>* const none = nullptr;
  for (const Shape& s : {Shape{64, 512, 1}, Shape{2, 16384, 1}, Shape{2, 512, 40}, Shape{1, 100, 1024}}) {
    CAPTURE(s.count); CAPTURE(s.inner);
    const double bytes = double(s.outer * s.count * s.inner) * 4;
    reset_counters();
    on_device<float, float>(d, Reduction::sum, s, randn<float>(s.outer * s.count * s.inner, 1), none, 1);
    check_traffic(s.inner == 1 ? "reduce_rows" : "reduce_columns", bytes, bytes * 0.1, 1.15);  // parts are f64: two stores where x was one
  }
  no_findings();
}

}  // namespace
