// The error of every function in cpu/simd_math.hpp, in ulp, against long double: all binades of both
// types, the ranges where functions bend, and the edges. The bounds are those the header states.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include "cpu/dispatch.hpp"
#include "isa/simd_math_probe.hpp"

namespace sspo::cpu {
SSPO_TABLE_PER_SET(MathProbes, math_probe_table, math_probes)
}

namespace {
using namespace sspo;
using namespace sspo::cpu;
using Real = long double;

Real cdf_truth(Real x) {  // erfc at -x/sqrt 2, with what the argument lost to rounding
  if (std::fabs(x) > 200) return x > 0;
  const Real s = -0.70710678118654752440084436210484904L, s_low = 2.4e-37L;
  const Real z = x * s, lost = std::fma(x, s, -z) + x * s_low;
  return (std::erfc(z) - 1.12837916709551257389615890312154517L * std::exp(-z * z) * lost) / 2;
}
Real pdf_truth(Real x) {
  if (std::fabs(x) > 200) return 0;
  const Real square = x * x, lost = std::fma(x, x, -square);
  return std::exp(-square / 2) * (1 - lost / 2) * 0.398942280401432677939946059934381868L;
}
Real sign_truth(Real x) { return Real(x > 0) - Real(x < 0); }

const MathProbe& probe_of(Isa isa, std::string_view name) {
  const MathProbes& all = math_probe_table(isa);
  int f = 0;
  while (f < math_probe_count && all[f].name != name) ++f;
  REQUIRE(f < math_probe_count);
  return all[f];
}

struct Function {
  const char* name;
  Real (*truth)(Real x, Real p);
  double ulp32, ulp64;
  Real low = -INFINITY, high = INFINITY;  // the domain tested
  Real flush32 = 0, flush64 = 0;          // results below may be 0
};
const Function functions[] = {
    {"exp", [](Real x, Real) { return std::exp(x); }, 1.2, 1.2},
    {"exp_nonpositive", [](Real x, Real) { return std::exp(x); }, 1.2, 1.2, -INFINITY, 0, 2e-38L, 4e-308L},
    {"expm1", [](Real x, Real) { return std::expm1(x); }, 1.8, 2.3},
    {"log", [](Real x, Real) { return std::log(x); }, 0.9, 0.9},
    {"log1p", [](Real x, Real) { return std::log1p(x); }, 0.9, 0.9},
    {"tanh", [](Real x, Real) { return std::tanh(x); }, 2.7, 2.8},
    {"sigmoid", [](Real x, Real) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }, 2.7, 2.8},
    {"erf", [](Real x, Real) { return std::erf(x); }, 1.6, 1.6},
    {"normal_cdf", [](Real x, Real) { return cdf_truth(x); }, 4.6, 4.6, -INFINITY, INFINITY, 1e-38L, 2e-308L},
    {"normal_pdf", [](Real x, Real) { return pdf_truth(x); }, 3, 3, -INFINITY, INFINITY, 1e-38L, 2e-308L},
    {"sin", [](Real x, Real) { return std::sin(x); }, 0.51, 1.6},
    {"cos", [](Real x, Real) { return std::cos(x); }, 0.51, 1.6},
    {"sqrt", [](Real x, Real) { return std::sqrt(x); }, 0.5001, 0.5001},
    {"rsqrt", [](Real x, Real) { return 1 / std::sqrt(x); }, 1.5, 1.5},
    {"floor", [](Real x, Real) { return std::floor(x); }, 0, 0},
    {"sign", [](Real x, Real) { return sign_truth(x); }, 0, 0},
    {"abs", [](Real x, Real) { return std::fabs(x); }, 0, 0},
    {"pow", [](Real x, Real p) { return std::pow(x, p); }, 0.51, 1.5},
};

int points() {  // a longer run is asked for by hand
  const char* n = std::getenv("SSPO_MATH_POINTS");
  return n ? std::atoi(n) : 20000;
}

template <class T>
std::vector<T> edges() {
  using L = std::numeric_limits<T>;
  std::vector<T> e = {0, 1, 2, 3, T(0.5), T(1.5), L::min(), L::denorm_min(), L::max(), L::infinity(), L::epsilon(),
                      T(87.3), T(88.72), T(88.73), T(103.9), T(104), T(200), T(708.3), T(709.78), T(745.1), T(746),
                      T(1e5), T(1e10), T(0.70710678), T(1.41421356), T(0.3466), T(3.14159274), T(1.57079637), 1000};
  const std::size_t n = e.size();
  for (std::size_t i = 0; i < n; ++i) {
    e.push_back(std::nextafter(e[i], T(0)));
    e.push_back(std::nextafter(e[i], L::infinity()));
  }
  const std::size_t both = e.size();
  for (std::size_t i = 0; i < both; ++i) e.push_back(-e[i]);
  e.push_back(L::quiet_NaN());
  return e;
}

template <class T>
void arguments(std::vector<T>& xs, std::vector<T>& ps) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  std::mt19937_64 rng(1);
  const auto uniform = [&](double a, double b) { return T(std::uniform_real_distribution<double>(a, b)(rng)); };
  const std::vector<T> e = edges<T>();
  for (T x : e)
    for (T p : e) { xs.push_back(x); ps.push_back(p); }
  const int n = points();
  for (int i = 0; i < n; ++i) {
    const T every = std::bit_cast<T>(Bits(rng())), other = std::bit_cast<T>(Bits(rng()));  // any bit pattern
    xs.push_back(every);                            ps.push_back(other);
    xs.push_back(uniform(-1, 1));                   ps.push_back(uniform(-10, 10));
    xs.push_back(uniform(-10, 10));                 ps.push_back(std::floor(uniform(-20, 20)));
    xs.push_back(uniform(-40, 40));                 ps.push_back(uniform(-1, 1));
    xs.push_back(uniform(-110, 90));                ps.push_back(uniform(-20, 20));
    xs.push_back(uniform(-750, 750));               ps.push_back(uniform(-100, 100));
    xs.push_back(uniform(-1e5, 1e5));               ps.push_back(T(2));
    xs.push_back(1 + uniform(-1, 1) / 16);          ps.push_back(uniform(-8000, 8000));
    xs.push_back(T(uniform(-1000, 1000)) * T(1.5707963267948966));  ps.push_back(T(0.5));
    xs.push_back(T(std::floor(uniform(-6e4, 6e4)) * 1.5707963267948966));  ps.push_back(T(-0.5));
    xs.push_back(std::exp2(uniform(-120, 120)));    ps.push_back(uniform(-1, 1));
  }
}

// |y - truth| in units of the last place of truth; 0 where both are the same infinity or NaN
template <class T>
double ulp_error(T y, Real truth) {
  using L = std::numeric_limits<T>;
  if (std::isnan(truth)) return std::isnan(y) ? 0 : INFINITY;
  const T nearest = T(truth);
  if (nearest == y && std::signbit(nearest) == std::signbit(y) && std::isinf(y)) return 0;
  if (std::isnan(y)) return INFINITY;
  if (std::isinf(y) || std::isinf(truth)) {  // one step into or out of infinity is a rounding
    const Real most = L::max(), step = std::ldexp(Real(1), L::max_exponent - L::digits);
    const Real size = std::isinf(y) ? most + step : std::fabs(Real(y));
    const Real wanted = std::isinf(truth) ? INFINITY : std::fabs(truth);
    return std::signbit(y) == std::signbit(truth) ? double(std::fabs(size - wanted) / step) : INFINITY;
  }
  const int exponent = truth == 0 ? L::min_exponent - 1 : std::max(std::ilogb(truth), L::min_exponent - 1);
  return double(std::fabs(Real(y) - truth) / std::ldexp(Real(1), exponent - (L::digits - 1)));
}

template <class T>
void check_errors() {
  std::vector<T> xs, ps;
  arguments(xs, ps);
  const Index n = Index(xs.size());
  std::vector<T> y(n);
  std::vector<Real> truth(n);
  for (const Function& fn : functions) {
    const Real flush = sizeof(T) == 4 ? fn.flush32 : fn.flush64;
    const double bound = sizeof(T) == 4 ? fn.ulp32 : fn.ulp64;
    for (Index i = 0; i < n; ++i) truth[i] = fn.truth(xs[i], ps[i]);
    for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
      if (!isa_supported(isa)) continue;
      const MathProbe& probe = probe_of(isa, fn.name);
      if constexpr (sizeof(T) == 4) probe.f32(xs.data(), ps.data(), y.data(), n);
      else probe.f64(xs.data(), ps.data(), y.data(), n);
      double worst = 0;
      Index at = 0;
      for (Index i = 0; i < n; ++i) {
        if (xs[i] < fn.low || xs[i] > fn.high) continue;
        if (std::isnan(xs[i]) && probe.name == "sign") continue;  // PyTorch: sign(NaN) = 0
        if (std::fabs(truth[i]) < flush && std::fabs(Real(y[i])) <= flush) continue;
        const double error = ulp_error(y[i], truth[i]);
        if (!(error <= worst)) { worst = error; at = i; }
      }
      if (std::getenv("SSPO_MATH_POINTS"))
        std::printf("%-16s f%zu %-8s %.3f ulp at %.9Lg, %.9Lg\n", fn.name, sizeof(T) * 8, isa_name(isa).data(), worst,
                    Real(xs[at]), Real(ps[at]));
      INFO(fn.name, " f", sizeof(T) * 8, " ", std::string(isa_name(isa)), ": ", worst, " ulp at x = ", double(xs[at]),
           ", p = ", double(ps[at]), ", got ", double(y[at]), ", truth ", double(truth[at]));
      CHECK(worst <= bound);
    }
  }
}

template <class T>
T call(Isa isa, std::string_view name, T x, T p = 0) {
  T y;
  if constexpr (sizeof(T) == 4) probe_of(isa, name).f32(&x, &p, &y, 1);
  else probe_of(isa, name).f64(&x, &p, &y, 1);
  return y;
}

TEST_CASE("simd_math: error in ulp, f32") { check_errors<float>(); }
TEST_CASE("simd_math: error in ulp, f64") { check_errors<double>(); }

// The coarse ones, meant for use beside numbers of size 1 or |x|.
TEST_CASE_TEMPLATE("simd_math: silu, silu_slope, exp_difference, normal_coarse", T, float, double) {
  std::vector<T> x;
  for (int i = -20000; i <= 20000; ++i) x.push_back(T(i) / 150);
  const double unit = sizeof(T) == 4 ? 0x1p-24 : 0x1p-53;
  std::vector<T> y(x.size());
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (!isa_supported(isa)) continue;
    CAPTURE(std::string(isa_name(isa)));
    const auto call_all = [&](const char* f) {
      if constexpr (sizeof(T) == 4) probe_of(isa, f).f32(x.data(), x.data(), y.data(), Index(x.size()));
      else probe_of(isa, f).f64(x.data(), x.data(), y.data(), Index(x.size()));
    };
    call_all("silu");
    for (std::size_t i = 0; i < x.size(); ++i) {
      const Real v = x[i], truth = v / (1 + std::exp(-v));
      REQUIRE(std::fabs(y[i] - truth) <= 4 * unit * std::max(Real(1), std::fabs(v)));
      REQUIRE(std::fabs(y[i] - truth) <= unit * ((8 + std::fabs(v)) * std::fabs(truth)) + 1e-35);  // relative as well
    }
    call_all("silu_slope");
    for (std::size_t i = 0; i < x.size(); ++i) {
      const Real v = x[i], s = 1 / (1 + std::exp(-v));
      REQUIRE(std::fabs(y[i] - s * (1 + v * (1 - s))) <= 4 * unit);
    }
    call_all("exp_difference");
    for (std::size_t i = 0; i < x.size() && x[i] <= 0; ++i) {
      const Real v = x[i], truth = std::exp(v);
      REQUIRE(std::fabs(y[i] - truth) <= 2 * unit * (3 + std::fabs(v) / 3) * truth + 2e-38);
    }
    for (const char* f : {"coarse_cdf", "coarse_pdf"}) {
      call_all(f);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const Real v = x[i], truth = f == std::string_view("coarse_cdf") ? cdf_truth(v) : pdf_truth(v);
        const Real bound = std::fabs(v) <= 8 ? 2 * unit * (7 + v * v / 2) : 1e-4L;
        REQUIRE(std::fabs(y[i] - truth) <= bound * truth + 1e-37L);
      }
      CHECK(call<T>(isa, f, -std::numeric_limits<T>::infinity()) == 0);
    }
    CHECK(call<T>(isa, "coarse_cdf", std::numeric_limits<T>::infinity()) == 1);
    for (const char* f : {"silu", "silu_slope", "exp_difference", "coarse_cdf", "coarse_pdf"})
      CHECK(std::isnan(call<T>(isa, f, std::numeric_limits<T>::quiet_NaN())));
    CHECK(call<T>(isa, "silu", 0) == 0);
    CHECK(call<T>(isa, "exp_difference", 0) == 1);
    CHECK(call<T>(isa, "exp_difference", -std::numeric_limits<T>::infinity()) == 0);
  }
}

TEST_CASE_TEMPLATE("simd_math: values that must be exact", T, float, double) {
  const T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (!isa_supported(isa)) continue;
    const auto is = [&](const char* f, T x, T y, T p = 0) {
      const T got = call<T>(isa, f, x, p);
      INFO(std::string(isa_name(isa)), " ", f, "(", double(x), ", ", double(p), ") = ", double(got));
      CHECK(std::memcmp(&got, &y, sizeof(T)) == 0);  // the sign of zero counts
    };
    is("exp", 0, 1);  is("exp", -800, 0);  is("exp", -inf, 0);  is("exp", inf, inf);
    is("exp_nonpositive", 0, 1);  is("exp_nonpositive", -800, 0);  is("exp_nonpositive", -inf, 0);
    is("expm1", T(-0.0), T(-0.0));  is("expm1", -inf, -1);  is("expm1", inf, inf);
    is("log", 1, 0);  is("log", 0, -inf);  is("log", T(-0.0), -inf);  is("log", inf, inf);
    is("log1p", T(-0.0), T(-0.0));  is("log1p", -1, -inf);  is("log1p", inf, inf);
    is("tanh", T(-0.0), T(-0.0));  is("tanh", inf, 1);  is("tanh", -inf, -1);
    is("sigmoid", 0, T(0.5));  is("sigmoid", inf, 1);  is("sigmoid", -inf, 0);
    is("erf", T(-0.0), T(-0.0));  is("erf", inf, 1);  is("erf", -inf, -1);
    is("normal_cdf", 0, T(0.5));  is("normal_cdf", inf, 1);  is("normal_cdf", -inf, 0);
    is("sin", T(-0.0), T(-0.0));  is("cos", 0, 1);  is("rsqrt", 4, T(0.5));
    is("floor", T(-0.5), -1);  is("floor", T(-0.0), T(-0.0));  is("floor", T(0.7), 0);  is("sign", nan, 0);
    is("pow", 2, 8, 3);  is("pow", -2, -8, 3);  is("pow", -2, 4, 2);  is("pow", nan, 1, 0);  is("pow", 1, 1, nan);
    is("pow", T(-0.0), -inf, -1);  is("pow", T(-0.0), inf, -2);  is("pow", T(-0.0), T(-0.0), 3);  is("pow", 0, inf, T(-0.5));
    is("pow", -1, 1, inf);  is("pow", -1, 1, -inf);  is("pow", -inf, -inf, 3);  is("pow", -inf, T(-0.0), -3);
    is("pow", -inf, inf, T(0.5));  is("pow", T(0.5), 0, inf);  is("pow", T(0.5), inf, -inf);  is("pow", 2, 0, -inf);
    CHECK(std::isnan(call<T>(isa, "pow", T(-8), T(1.0 / 3))));
    for (const char* f : {"exp", "exp_nonpositive", "expm1", "log", "log1p", "tanh", "sigmoid", "erf", "normal_cdf",
                          "normal_pdf", "sin", "cos", "sqrt", "rsqrt", "floor", "abs"}) {
      INFO(f);
      CHECK(std::isnan(call<T>(isa, f, nan)));
    }
    for (const char* f : {"sin", "cos"}) CHECK(std::isnan(call<T>(isa, f, inf)));
    for (const char* f : {"log", "sqrt", "rsqrt"}) CHECK(std::isnan(call<T>(isa, f, -1)));
  }
}

}  // namespace
