// GEGLU on the device against f64 on the CPU: odd shapes, tails, in place, any schedule, traffic.
#include "geglu.hpp"

#include "streaming_test.hpp"

namespace {
using namespace sspo;
using namespace sspo::cuda;
using namespace sspo::cuda::streaming;

template <class T> Results geglu_on(TestDevice& d, Index rows, Index width, const std::vector<T>& h, Index offset = 0) {
  const Placed<T> dh(d, h, offset), dy(d, nans<T>(rows * width), offset);
  geglu(d.ctx, dtype_of<T>, {rows, width, dh.data(), dy.data()});
  return {dy.host()};
}
template <class T> Results geglu_grad_on(TestDevice& d, Index rows, Index width, const std::vector<T>& h, const std::vector<T>& g, bool in_place, Index offset = 0) {
  const Placed<T> dh(d, h, offset), dg(d, g, offset), out(d, nans<T>(2 * rows * width), offset);
  geglu_grad(d.ctx, dtype_of<T>, {rows, width, dh.data(), dg.data(), in_place ? dh.data() : out.data()});
  return {(in_place ? dh : out).host()};
}

TEST_CASE_TEMPLATE("geglu: odd shapes", T, float, double, bf16) {
  TestDevice d;
  const double tol = sizeof(T) == 8 ? 1e-15 : sizeof(T) == 4 ? 3e-7 : 4e-3;  // of the largest value, which is some times 1
  struct { Index rows, width, offset; } const all[] = {{1, 1, 0}, {3, 5, 0}, {7, 64, 0}, {7, 64, 1}, {5, 1280, 0}, {20, 77, 0}};
  for (const auto& s : all) {
    CAPTURE(s.rows); CAPTURE(s.width); CAPTURE(s.offset);
    const auto h = randn<T>(2 * s.rows * s.width, 1, 0, 2), g = randn<T>(s.rows * s.width, 2);
    const Doubles wide_h = numbers(h), wide_g = numbers(g);
    Doubles y(wide_g.size()), dh(wide_h.size());
    on_cpu().geglu(DType::f64, kernels::GegluArgs{s.rows, s.width, wide_h.data(), y.data()});  // named for nvcc, which garbles the bare list here
    on_cpu().geglu_grad(DType::f64, kernels::GegluGradArgs{s.rows, s.width, wide_h.data(), wide_g.data(), dh.data()});
    CHECK(error(repeatable([&] { return geglu_on(d, s.rows, s.width, h, s.offset); })[0], y) <= tol);
    const Results apart = repeatable([&] { return geglu_grad_on(d, s.rows, s.width, h, g, false, s.offset); });
    CHECK(error(apart[0], dh) <= tol);
    CHECK(same_bits(geglu_grad_on(d, s.rows, s.width, h, g, true, s.offset), apart));
  }
}

TEST_CASE("geglu: relative error in the tails, NaN, empty") {
  TestDevice d;
  for (double b = -12; b <= 12; b += 0.25) {
    const double h[2] = {1, b}, g = 1;
    double y, dh[2];
    on_cpu().geglu(DType::f64, {1, 1, h, &y});
    on_cpu().geglu_grad(DType::f64, {1, 1, h, &g, dh});
    const Doubles got = geglu_on<float>(d, 1, 1, {1.0f, float(b)})[0], grad = geglu_grad_on<float>(d, 1, 1, {1.0f, float(b)}, {1.0f}, false)[0];
    const double ulps = (8 + 2 * b * b) * 0x1p-24;  // x/√2 is rounded twice: b² ulp each
    CHECK(std::fabs(got[0] - y) <= ulps * std::fabs(y));
    CHECK(std::fabs(grad[0] - dh[0]) <= ulps * std::fabs(dh[0]));
    CHECK(std::fabs(grad[1] - dh[1]) <= ulps * std::max(std::fabs(dh[1]), std::fabs(y)));  // Φ + b φ may cancel
  }
  CHECK(std::isnan(geglu_on<float>(d, 1, 1, {1.0f, NAN})[0][0]));
  CHECK(std::isnan(geglu_on<float>(d, 1, 1, {NAN, 1.0f})[0][0]));
  geglu(d.ctx, DType::f32, {0, 5, nullptr, nullptr});
  geglu_grad(d.ctx, DType::f32, {5, 0, nullptr, nullptr, nullptr});
  no_findings();
}

TEST_CASE("geglu: traffic" * doctest::skip(!checking())) {
  TestDevice d;
  const auto h = randn<bf16>(2 * 40 * 320, 1), g = randn<bf16>(40 * 320, 2);
  const double bytes = 40 * 320 * 2;
  reset_counters();
  geglu_on(d, 40, 320, h);
  geglu_grad_on(d, 40, 320, h, g, false);
  check_traffic("geglu_packs", 2 * bytes, bytes);
  check_traffic("geglu_grad_packs", 3 * bytes, 2 * bytes);
  no_findings();
}

}  // namespace
