// Softmax and its logarithm on the device against f64 on the CPU: every kind of row, any schedule, NaN and infinities, traffic.
#include "softmax.hpp"

#include "streaming_test.hpp"

namespace {
using namespace sspo;
using namespace sspo::cuda;
using namespace sspo::cuda::streaming;

template <class T> Results softmax_on(TestDevice& d, Index rows, Index cols, bool log, const std::vector<T>& x, Index offset = 0) {
  const Placed<T> dx(d, x, offset), dy(d, nans<T>(rows * cols), offset);
  softmax(d.ctx, dtype_of<T>, {rows, cols, log, dx.data(), dy.data()});
  return {dy.host()};
}
template <class T> Results softmax_grad_on(TestDevice& d, Index rows, Index cols, bool log, const std::vector<T>& y, const std::vector<T>& g, Index offset = 0) {
  const Placed<T> dy(d, y, offset), dg(d, g, offset), out(d, nans<T>(rows * cols), offset);
  softmax_grad(d.ctx, dtype_of<T>, {rows, cols, log, dy.data(), dg.data(), out.data()});
  return {out.host()};
}

TEST_CASE_TEMPLATE("softmax: odd shapes, small and huge logits", T, float, double, bf16) {
  TestDevice d;
  const double tol = sizeof(T) == 8 ? 1e-14 : sizeof(T) == 4 ? 1e-6 : 4e-3;
  struct { Index rows, cols, offset; } const all[] = {{1, 1, 0}, {3, 5, 0}, {9, 64, 0}, {9, 64, 1}, {10, 77, 0}, {3, 1024, 0}, {2, 1023, 0}, {2, 4000, 0}, {1, 9001, 0}, {1, 17000, 0}};
  for (const auto& s : all)
    for (double scale : {1.0, 1e4})
      for (bool log : {false, true}) {
        CAPTURE(s.rows); CAPTURE(s.cols); CAPTURE(s.offset); CAPTURE(scale); CAPTURE(log);
        const auto x = randn<T>(s.rows * s.cols, 1, 0, scale), g = randn<T>(s.rows * s.cols, 2);
        const Doubles wide = numbers(x), wide_g = numbers(g);
        Doubles truth(wide.size()), grad(wide.size());
        on_cpu().softmax(DType::f64, kernels::SoftmaxArgs{s.rows, s.cols, log, wide.data(), truth.data()});  // named for nvcc, which garbles the bare list here
        const Results y = repeatable([&] { return softmax_on(d, s.rows, s.cols, log, x, s.offset); });
        CHECK(error(y[0], truth, 1e-3) <= tol);
        const std::vector<T> kept = rounded_to<T>(truth);
        const Doubles wide_y = numbers(kept);
        on_cpu().softmax_grad(DType::f64, kernels::SoftmaxGradArgs{s.rows, s.cols, log, wide_y.data(), wide_g.data(), grad.data()});
        const Results dx = repeatable([&] { return softmax_grad_on(d, s.rows, s.cols, log, kept, g, s.offset); });
        CHECK(error(dx[0], grad, 1e-3) <= 2 * tol);
      }
}

TEST_CASE("softmax: NaN, infinities, -inf rows, masked entries, in place, empty") {
  TestDevice d;
  const float inf = INFINITY;
  for (bool log : {false, true})
    for (Index n : {3, 8, 37, 1200, 9000}) {
      for (float special : {NAN, inf, -inf}) {
        std::vector<float> x(std::size_t(n), special == -inf ? -inf : 1.f);
        x[std::size_t(n - 1)] = special;
        const Placed<float> at(d, x);
        softmax(d.ctx, DType::f32, {1, n, log, at.data(), at.data()});
        for (double v : at.host()) REQUIRE(std::isnan(v));
      }
      std::vector<float> x(std::size_t(n), -inf);
      x[1] = 5;
      const Doubles y = softmax_on(d, 1, n, log, x)[0];
      for (Index i = 0; i < n; ++i) REQUIRE(y[std::size_t(i)] == (i == 1 ? (log ? 0 : 1) : (log ? -inf : 0)));
      const auto v = randn<float>(n, 1), g = randn<float>(n, 2);
      const Doubles apart = softmax_grad_on(d, 1, n, log, v, g)[0];
      for (bool over_y : {false, true}) {
        const Placed<float> dy(d, v), dg(d, g);
        softmax_grad(d.ctx, DType::f32, {1, n, log, dy.data(), dg.data(), over_y ? dy.data() : dg.data()});
        CHECK((over_y ? dy : dg).host() == apart);
      }
    }
  softmax(d.ctx, DType::f32, {0, 5, false, nullptr, nullptr});
  softmax_grad(d.ctx, DType::f32, {5, 0, false, nullptr, nullptr, nullptr});
  CHECK_THROWS(softmax(d.ctx, DType::i64, {1, 1, false, nullptr, nullptr}));
  no_findings();
}

TEST_CASE("softmax: traffic" * doctest::skip(!checking())) {
  TestDevice d;
  for (Index cols : {64, 1024, 8192}) {
    const Index rows = 16384 / cols;
    const double bytes = 16384 * 4;
    const auto x = randn<float>(rows * cols, 1);
    reset_counters();
    softmax_on(d, rows, cols, false, x);
    softmax_grad_on(d, rows, cols, false, x, x);
    check_traffic("softmax_rows", bytes, bytes);
    check_traffic("softmax_grad_rows", 2 * bytes, bytes);
  }
  no_findings();
}

}  // namespace
