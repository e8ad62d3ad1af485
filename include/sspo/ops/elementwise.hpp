// Elementwise ops: y[i] = f(a[i], b[i], ...), operands broadcast.
//   Tensor y = silu(x) * scale + 1.0;      Tensor z = where(x > 0.0, x, 0.1 * x);
// Each struct holds the formula once, for scalars and SIMD packs alike, and its derivative. Operands
// share one dtype (numbers take it); 16-bit floats compute in f32; integers where it says so.
#pragma once
#include "sspo/ops/op.hpp"
#include "sspo/ops/sample.hpp"

namespace sspo {

// What users call. Errors: dtypes or devices differ, operands do not broadcast, integers where a
// formula needs reals.
Tensor add(Tensor a, Tensor b, Site at = Site::current());
Tensor sub(Tensor a, Tensor b, Site at = Site::current());
Tensor mul(Tensor a, Tensor b, Site at = Site::current());
Tensor div(Tensor a, Tensor b, Site at = Site::current());
Tensor pow(Tensor a, Tensor b, Site at = Site::current());
Tensor pow(Tensor a, double exponent, Site at = Site::current());
Tensor maximum(Tensor a, Tensor b, Site at = Site::current());
Tensor minimum(Tensor a, Tensor b, Site at = Site::current());
Tensor neg(Tensor x, Site at = Site::current());
Tensor abs(Tensor x, Site at = Site::current());
Tensor sign(Tensor x, Site at = Site::current());
Tensor square(Tensor x, Site at = Site::current());
Tensor exp(Tensor x, Site at = Site::current());
Tensor log(Tensor x, Site at = Site::current());
Tensor sqrt(Tensor x, Site at = Site::current());
Tensor rsqrt(Tensor x, Site at = Site::current());
Tensor sin(Tensor x, Site at = Site::current());
Tensor cos(Tensor x, Site at = Site::current());
Tensor tanh(Tensor x, Site at = Site::current());
Tensor sigmoid(Tensor x, Site at = Site::current());
Tensor relu(Tensor x, Site at = Site::current());
Tensor silu(Tensor x, Site at = Site::current());
Tensor gelu_erf(Tensor x, Site at = Site::current());
Tensor gelu_tanh(Tensor x, Site at = Site::current());
Tensor quick_gelu(Tensor x, Site at = Site::current());
Tensor softplus(Tensor x, Site at = Site::current());
// g times the slope at x: one pass over memory backward, as forward.
Tensor silu_slope(Tensor g, Tensor x, Site at = Site::current());
Tensor gelu_erf_slope(Tensor g, Tensor x, Site at = Site::current());
Tensor gelu_tanh_slope(Tensor g, Tensor x, Site at = Site::current());
Tensor quick_gelu_slope(Tensor g, Tensor x, Site at = Site::current());
Tensor clamp(Tensor x, double low, double high, Site at = Site::current());
Tensor where(Tensor condition, Tensor yes, Tensor no, Site at = Site::current());
Tensor less(Tensor a, Tensor b, Site at = Site::current());
Tensor less_equal(Tensor a, Tensor b, Site at = Site::current());
Tensor greater(Tensor a, Tensor b, Site at = Site::current());
Tensor greater_equal(Tensor a, Tensor b, Site at = Site::current());
Tensor equal(Tensor a, Tensor b, Site at = Site::current());
Tensor not_equal(Tensor a, Tensor b, Site at = Site::current());
Tensor cast(Tensor x, DType to, Site at = Site::current());

Tensor number_like(const Tensor& x, double value, Site at = Site::current());  // a scalar of x's dtype, on x's device

// An operator's first operand: the conversion to it notes where the operator stands, for errors.
struct Operand {
  Tensor x;
  Site at;
  template <std::convertible_to<Tensor> T>
  Operand(T&& tensor, Site where = Site::current()) : x(std::forward<T>(tensor)), at(where) {}  // NOLINT: implicit
};
namespace detail {
template <Tensor (*F)(Tensor, Tensor, Site)>
Tensor with_number(Operand a, double b) { Tensor n = number_like(a.x, b, a.at); return F(std::move(a.x), std::move(n), a.at); }
template <Tensor (*F)(Tensor, Tensor, Site)>
Tensor with_number(double a, Operand b) { Tensor n = number_like(b.x, a, b.at); return F(std::move(n), std::move(b.x), b.at); }
}  // namespace detail

inline Tensor operator-(Operand a) { return neg(std::move(a.x), a.at); }
inline Tensor operator+(Operand a, Tensor b) { return add(std::move(a.x), std::move(b), a.at); }
inline Tensor operator-(Operand a, Tensor b) { return sub(std::move(a.x), std::move(b), a.at); }
inline Tensor operator*(Operand a, Tensor b) { return mul(std::move(a.x), std::move(b), a.at); }
inline Tensor operator/(Operand a, Tensor b) { return div(std::move(a.x), std::move(b), a.at); }
inline Tensor operator<(Operand a, Tensor b) { return less(std::move(a.x), std::move(b), a.at); }
inline Tensor operator<=(Operand a, Tensor b) { return less_equal(std::move(a.x), std::move(b), a.at); }
inline Tensor operator>(Operand a, Tensor b) { return greater(std::move(a.x), std::move(b), a.at); }
inline Tensor operator>=(Operand a, Tensor b) { return greater_equal(std::move(a.x), std::move(b), a.at); }
inline Tensor operator+(Operand a, double b) { return detail::with_number<add>(std::move(a), b); }
inline Tensor operator+(double a, Operand b) { return detail::with_number<add>(std::move(b), a); }
inline Tensor operator-(Operand a, double b) { return detail::with_number<sub>(std::move(a), b); }
inline Tensor operator-(double a, Operand b) { return detail::with_number<sub>(a, std::move(b)); }
inline Tensor operator*(Operand a, double b) { return detail::with_number<mul>(std::move(a), b); }
inline Tensor operator*(double a, Operand b) { return detail::with_number<mul>(std::move(b), a); }
inline Tensor operator/(Operand a, double b) { return detail::with_number<div>(std::move(a), b); }
inline Tensor operator/(double a, Operand b) { return detail::with_number<div>(a, std::move(b)); }
inline Tensor operator<(Operand a, double b) { return detail::with_number<less>(std::move(a), b); }
inline Tensor operator<=(Operand a, double b) { return detail::with_number<less_equal>(std::move(a), b); }
inline Tensor operator>(Operand a, double b) { return detail::with_number<greater>(std::move(a), b); }
inline Tensor operator>=(Operand a, double b) { return detail::with_number<greater_equal>(std::move(a), b); }

// --- arithmetic ------------------------------------------------------------------------------------

struct Add {
  static constexpr OpInfo info{"add", "a + b"};
  static constexpr bool integers = true;
  template <class T> SSPO_HD static T scalar(T a, T b) { return a + b; }
  static Grads<2> vjp(const Tensor& g, Meta, Meta) { return {g, g}; }
  static constexpr SampleRange samples[] = {{}, {}};
};

struct Sub {
  static constexpr OpInfo info{"sub", "a - b"};
  static constexpr bool integers = true;
  template <class T> SSPO_HD static T scalar(T a, T b) { return a - b; }
  static Grads<2> vjp(Needs need, const Tensor& g, Meta, Meta) { return {g, need[1] ? -g : Tensor{}}; }
  static constexpr SampleRange samples[] = {{}, {}};
};

struct Mul {
  static constexpr OpInfo info{"mul", "a b"};
  static constexpr bool integers = true;
  template <class T> SSPO_HD static T scalar(T a, T b) { return a * b; }
  static constexpr bool keeps(int i, Needs need) { return need[std::size_t(1 - i)]; }  // each factor for the other's gradient
  static Grads<2> vjp(Needs need, const Tensor& g, const Tensor& a, const Tensor& b) {
    return {need[0] ? g * b : Tensor{}, need[1] ? g * a : Tensor{}};
  }
  static constexpr SampleRange samples[] = {{}, {}};
};

struct Div {
  static constexpr OpInfo info{"div", "a / b"};
  template <class T> SSPO_HD static T scalar(T a, T b) { return a / b; }
  static Grads<2> vjp(Needs need, const Tensor& g, Meta, const Tensor& b, const Tensor& y) {
    return {need[0] ? g / b : Tensor{}, need[1] ? -(g * y) / b : Tensor{}};
  }
  static constexpr SampleRange samples[] = {{}, {.low = 0.5, .high = 3}};
};

struct Pow {
  static constexpr OpInfo info{"pow", "a^b"};
  template <class T> SSPO_HD static T scalar(T a, T b) { return pow(a, b); }
  static Grads<2> vjp(Needs need, const Tensor& g, const Tensor& a, const Tensor& b, const Tensor& y) {
    const Tensor zero = number_like(g, 0);
    return {need[0] ? where(equal(b, zero), zero, g * b * pow(a, b - 1.0)) : Tensor{},      // b a^(b-1)
            need[1] ? where(equal(a, zero), zero, g * y * log(a)) : Tensor{}};              // a^b ln a
  }
  static constexpr SampleRange samples[] = {{.low = 0.3, .high = 3}, {.low = -2, .high = 3}};
};

struct Maximum {
  static constexpr OpInfo info{"maximum", "max(a, b); equal operands share the gradient"};
  static constexpr bool integers = true;
  template <class T> SSPO_HD static T scalar(T a, T b) { return max(a, b); }
  static Grads<2> vjp(Needs need, const Tensor& g, const Tensor& a, const Tensor& b) {
    const Tensor zero = number_like(g, 0), tie = where(equal(a, b), 0.5 * g, zero);
    return {need[0] ? where(a > b, g, tie) : Tensor{}, need[1] ? where(b > a, g, tie) : Tensor{}};
  }
  static constexpr SampleRange samples[] = {{.low = -3, .high = 3}, {.low = -2.9, .high = 3.1}};
};

struct Minimum {
  static constexpr OpInfo info{"minimum", "min(a, b); equal operands share the gradient"};
  static constexpr bool integers = true;
  template <class T> SSPO_HD static T scalar(T a, T b) { return min(a, b); }
  static Grads<2> vjp(Needs need, const Tensor& g, const Tensor& a, const Tensor& b) {
    const Tensor zero = number_like(g, 0), tie = where(equal(a, b), 0.5 * g, zero);
    return {need[0] ? where(a < b, g, tie) : Tensor{}, need[1] ? where(b < a, g, tie) : Tensor{}};
  }
  static constexpr SampleRange samples[] = {{.low = -3, .high = 3}, {.low = -2.9, .high = 3.1}};
};

struct Neg {
  static constexpr OpInfo info{"neg", "-x"};
  static constexpr bool integers = true;
  template <class T> SSPO_HD static T scalar(T x) { return -x; }
  static Tensor vjp(const Tensor& g, Meta) { return -g; }
  static constexpr SampleRange samples[] = {{}};
};

struct Abs {
  static constexpr OpInfo info{"abs", "|x|, slope 0 at 0"};
  static constexpr bool integers = true;
  template <class T> SSPO_HD static T scalar(T x) { return abs(x); }
  static Tensor vjp(const Tensor& g, const Tensor& x) { return g * sign(x); }
  static constexpr SampleRange samples[] = {{.away_from = 0}};
};

struct Sign {
  static constexpr OpInfo info{"sign", "-1, 0 or 1"};
  static constexpr bool integers = true;
  static constexpr std::string_view no_vjp = "piecewise constant: no gradient flows through a sign";
  template <class T> SSPO_HD static T scalar(T x) { return sign(x); }
  static constexpr SampleRange samples[] = {{.away_from = 0}};
};

struct Square {
  static constexpr OpInfo info{"square", "x^2"};
  static constexpr bool integers = true;
  template <class T> SSPO_HD static T scalar(T x) { return x * x; }
  static Tensor vjp(const Tensor& g, const Tensor& x) { return 2.0 * g * x; }
  static constexpr SampleRange samples[] = {{}};
};

// --- transcendental --------------------------------------------------------------------------------

struct Exp {
  static constexpr OpInfo info{"exp", "e^x"};
  template <class T> SSPO_HD static T scalar(T x) { return exp(x); }
  static Tensor vjp(const Tensor& g, Meta, const Tensor& y) { return g * y; }
  static constexpr SampleRange samples[] = {{}};
};

struct Log {
  static constexpr OpInfo info{"log", "ln x"};
  template <class T> SSPO_HD static T scalar(T x) { return log(x); }
  static Tensor vjp(const Tensor& g, const Tensor& x) { return g / x; }
  static constexpr SampleRange samples[] = {{.low = 0.2, .high = 4}};
};

struct Sqrt {
  static constexpr OpInfo info{"sqrt", "x^(1/2)"};
  template <class T> SSPO_HD static T scalar(T x) { return sqrt(x); }
  static Tensor vjp(const Tensor& g, Meta, const Tensor& y) { return 0.5 * g / y; }
  static constexpr SampleRange samples[] = {{.low = 0.2, .high = 4}};
};

struct Rsqrt {
  static constexpr OpInfo info{"rsqrt", "x^(-1/2)"};
  template <class T> SSPO_HD static T scalar(T x) { return rsqrt(x); }
  static Tensor vjp(const Tensor& g, Meta, const Tensor& y) { return -0.5 * g * (y * square(y)); }
  static constexpr SampleRange samples[] = {{.low = 0.2, .high = 4}};
};

struct Sin {
  static constexpr OpInfo info{"sin", "sin x"};
  template <class T> SSPO_HD static T scalar(T x) { return sin(x); }
  static Tensor vjp(const Tensor& g, const Tensor& x) { return g * cos(x); }
  static constexpr SampleRange samples[] = {{.low = -7, .high = 7}};
};

struct Cos {
  static constexpr OpInfo info{"cos", "cos x"};
  template <class T> SSPO_HD static T scalar(T x) { return cos(x); }
  static Tensor vjp(const Tensor& g, const Tensor& x) { return -(g * sin(x)); }
  static constexpr SampleRange samples[] = {{.low = -7, .high = 7}};
};

struct Tanh {
  static constexpr OpInfo info{"tanh", "tanh x"};
  template <class T> SSPO_HD static T scalar(T x) { return tanh(x); }
  static Tensor vjp(const Tensor& g, Meta, const Tensor& y) { return g * (1.0 - square(y)); }
  static constexpr SampleRange samples[] = {{}};
};

// --- activations -----------------------------------------------------------------------------------
// Those that networks run on whole activations have their slope as an op of its own: one pass over
// memory backward, as forward.

struct Sigmoid {
  static constexpr OpInfo info{"sigmoid", "σ(x) = 1 / (1 + e^-x)"};
  template <class T> SSPO_HD static T scalar(T x) { return sigmoid(x); }
  static Tensor vjp(const Tensor& g, Meta, const Tensor& y) { return g * y * (1.0 - y); }
  static constexpr SampleRange samples[] = {{.low = -6, .high = 6}};
};

struct Relu {
  static constexpr OpInfo info{"relu", "max(x, 0)"};
  template <class T> SSPO_HD static T scalar(T x) { return max(x, T(0)); }
  static Tensor vjp(const Tensor& g, const Tensor& x) { return where(x <= 0.0, number_like(g, 0), g); }  // NaN: g
  static constexpr SampleRange samples[] = {{.away_from = 0}};
};

struct SiluSlope {
  static constexpr OpInfo info{"silu_slope", "g σ (1 + x (1 - σ))"};
  template <class T> SSPO_HD static T scalar(T g, T x) {
    const T s = sigmoid(x);
    return g * (s * (T(1) + x * (T(1) - s)));
  }
  static Grads<2> vjp(Needs need, const Tensor& gg, const Tensor& g, const Tensor& x) {
    const auto curvature = [&] {  // σ (1 - σ) (2 + x (1 - 2 σ))
      const Tensor s = sigmoid(x);
      return s * (1.0 - s) * (2.0 + x * (1.0 - 2.0 * s));
    };
    return {need[0] ? silu_slope(gg, x) : Tensor{}, need[1] ? gg * g * curvature() : Tensor{}};
  }
  static constexpr SampleRange samples[] = {{}, {.low = -6, .high = 6}};
};

struct Silu {
  static constexpr OpInfo info{"silu", "x σ(x)"};
  template <class T> SSPO_HD static T scalar(T x) { return x * sigmoid(x); }
  static Tensor vjp(const Tensor& g, const Tensor& x) { return silu_slope(g, x); }
  static constexpr SampleRange samples[] = {{.low = -6, .high = 6}};
};

struct GeluErfSlope {
  static constexpr OpInfo info{"gelu_erf_slope", "g (Φ(x) + x φ(x))"};
  template <class T> SSPO_HD static T scalar(T g, T x) {
    const T cdf = T(0.5) * (T(1) + erf(x * T(0.7071067811865476)));
    return g * (cdf + x * (T(0.3989422804014327) * exp(T(-0.5) * x * x)));
  }
  static Grads<2> vjp(Needs need, const Tensor& gg, const Tensor& g, const Tensor& x) {
    const auto curvature = [&] { return 0.3989422804014327 * exp(-0.5 * square(x)) * (2.0 - square(x)); };
    return {need[0] ? gelu_erf_slope(gg, x) : Tensor{}, need[1] ? gg * g * curvature() : Tensor{}};
  }
  static constexpr SampleRange samples[] = {{}, {.low = -5, .high = 5}};
};

struct GeluErf {
  static constexpr OpInfo info{"gelu_erf", "x Φ(x), Φ(x) = (1 + erf(x/√2)) / 2"};  // Hendrycks & Gimpel 2016
  template <class T> SSPO_HD static T scalar(T x) { return T(0.5) * x * (T(1) + erf(x * T(0.7071067811865476))); }
  static Tensor vjp(const Tensor& g, const Tensor& x) { return gelu_erf_slope(g, x); }
  static constexpr SampleRange samples[] = {{.low = -5, .high = 5}};
};

struct GeluTanhSlope {
  static constexpr OpInfo info{"gelu_tanh_slope", "g ((1 + t)/2 + x (1 - t²) u'/2)"};
  template <class T> SSPO_HD static T scalar(T g, T x) {
    const T c = T(0.7978845608028654), a = T(0.044715), xx = x * x;
    const T t = tanh(c * (x + a * xx * x)), du = c * (T(1) + T(3) * a * xx);
    return g * (T(0.5) * (T(1) + t) + T(0.5) * x * (T(1) - t * t) * du);
  }
  static Grads<2> vjp(Needs need, const Tensor& gg, const Tensor& g, const Tensor& x) {
    const auto curvature = [&] {  // (1 - t²) (u' + x u''/2 - x t u'²)
      const double c = 0.7978845608028654, a = 0.044715;
      const Tensor t = tanh(c * (x + a * x * square(x))), du = c * (1.0 + 3 * a * square(x)), ddu = 6 * a * c * x;
      return (1.0 - square(t)) * (du + 0.5 * x * ddu - x * t * square(du));
    };
    return {need[0] ? gelu_tanh_slope(gg, x) : Tensor{}, need[1] ? gg * g * curvature() : Tensor{}};
  }
  static constexpr SampleRange samples[] = {{}, {.low = -5, .high = 5}};
};

struct GeluTanh {
  static constexpr OpInfo info{"gelu_tanh", "x (1 + tanh u)/2, u = √(2/π) (x + 0.044715 x³)"};
  template <class T> SSPO_HD static T scalar(T x) {
    return T(0.5) * x * (T(1) + tanh(T(0.7978845608028654) * (x + T(0.044715) * x * x * x)));
  }
  static Tensor vjp(const Tensor& g, const Tensor& x) { return gelu_tanh_slope(g, x); }
  static constexpr SampleRange samples[] = {{.low = -5, .high = 5}};
};

struct QuickGeluSlope {
  static constexpr OpInfo info{"quick_gelu_slope", "g (s + x a s (1 - s)), s = σ(a x)"};
  template <class T> SSPO_HD static T scalar(T g, T x) {
    const T a = T(1.702), s = sigmoid(a * x);
    return g * (s + x * (a * s * (T(1) - s)));  // a x may overflow where the slope does not
  }
  static Grads<2> vjp(Needs need, const Tensor& gg, const Tensor& g, const Tensor& x) {
    const auto curvature = [&] {  // a s (1 - s) (2 + a x (1 - 2 s))
      const double a = 1.702;
      const Tensor s = sigmoid(a * x);
      return a * s * (1.0 - s) * (2.0 + a * x * (1.0 - 2.0 * s));
    };
    return {need[0] ? quick_gelu_slope(gg, x) : Tensor{}, need[1] ? gg * g * curvature() : Tensor{}};
  }
  static constexpr SampleRange samples[] = {{}, {.low = -4, .high = 4}};
};

struct QuickGelu {
  static constexpr OpInfo info{"quick_gelu", "x σ(1.702 x)"};  // CLIP's activation
  template <class T> SSPO_HD static T scalar(T x) { return x * sigmoid(T(1.702) * x); }
  static Tensor vjp(const Tensor& g, const Tensor& x) { return quick_gelu_slope(g, x); }
  static constexpr SampleRange samples[] = {{.low = -4, .high = 4}};
};

struct Softplus {
  static constexpr OpInfo info{"softplus", "ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)"};
  template <class T> SSPO_HD static T scalar(T x) { return max(x, T(0)) + log1p(exp(-abs(x))); }
  static Tensor vjp(const Tensor& g, const Tensor& x) { return g * sigmoid(x); }
  static constexpr SampleRange samples[] = {{.low = -8, .high = 8}};
};

// --- choice ----------------------------------------------------------------------------------------

struct Clamp {
  struct Attrs { double low, high; };
  static constexpr OpInfo info{"clamp", "min(max(x, low), high); slope 1 inside, ends included"};
  template <class T> SSPO_HD static T scalar(const Attrs& a, T x) { return min(max(x, T(a.low)), T(a.high)); }
  static Tensor vjp(const Attrs& a, const Tensor& g, const Tensor& x) {
    const Tensor zero = number_like(g, 0);
    return where(x >= a.low, where(x <= a.high, g, zero), zero);
  }
  static std::vector<Sample<Attrs>> samples();
};

struct Where {
  static constexpr OpInfo info{"where", "condition ? a : b"};
  static constexpr bool integers = true;
  static constexpr detail::ResultRule rule = detail::ResultRule::condition;
  template <class T> SSPO_HD static T scalar(T c, T a, T b) { return select(c != T(0), a, b); }
  static Grads<3> vjp(Needs need, const Tensor& g, const Tensor& c, Meta, Meta) {
    const Tensor zero = number_like(g, 0);
    return {Tensor{}, need[1] ? where(c, g, zero) : Tensor{}, need[2] ? where(c, zero, g) : Tensor{}};
  }
  static std::vector<Sample<NoAttrs>> samples();
};

enum class Relation { less, less_equal, greater, greater_equal, equal, not_equal };
inline constexpr std::string_view relation_names[] = {"less", "less_equal", "greater", "greater_equal", "equal", "not_equal"};

template <Relation R>
struct Compare {
  static constexpr OpInfo info{relation_names[int(R)], "a truth value; false where an operand is NaN, but for not_equal"};
  static constexpr bool integers = true;
  static constexpr detail::ResultRule rule = detail::ResultRule::predicate;
  static constexpr std::string_view no_vjp = "a truth value has no slope";
  template <class T> SSPO_HD static T scalar(T a, T b) {
    const T yes(1), no(0);
    if constexpr (R == Relation::less) return select(a < b, yes, no);
    else if constexpr (R == Relation::less_equal) return select(a <= b, yes, no);
    else if constexpr (R == Relation::greater) return select(a > b, yes, no);
    else if constexpr (R == Relation::greater_equal) return select(a >= b, yes, no);
    else if constexpr (R == Relation::equal) return select(a == b, yes, no);
    else return select(a != b, yes, no);
  }
  static constexpr SampleRange samples[] = {{}, {}};
};
using Less = Compare<Relation::less>;
using LessEqual = Compare<Relation::less_equal>;
using Greater = Compare<Relation::greater>;
using GreaterEqual = Compare<Relation::greater_equal>;
using Equal = Compare<Relation::equal>;
using NotEqual = Compare<Relation::not_equal>;

struct Cast {
  struct Attrs { DType to = DType::f32; };
  static constexpr OpInfo info{"cast", "x, rounded to the nearest value of another dtype"};
  static Tensor forward(const Attrs& a, const Tensor& x);
  static Tensor vjp(const Attrs&, const Tensor& g, Meta x) { return cast(g, x.dtype); }
  static std::vector<Sample<Attrs>> samples();
};

// --- the list --------------------------------------------------------------------------------------

template <class... O>
struct OpList {
  static constexpr int size = sizeof...(O);
  template <class X> static constexpr int index() {
    int at = -1, i = 0;
    ((std::is_same_v<X, O> ? at = i : 0, ++i), ...);
    return at;
  }
  template <class F> static void for_each(F&& f) { (f.template operator()<O>(), ...); }
};

using ElementwiseOps =
    OpList<Add, Sub, Mul, Div, Pow, Maximum, Minimum, Neg, Abs, Sign, Square, Exp, Log, Sqrt, Rsqrt, Sin, Cos, Tanh,
           Sigmoid, Relu, SiluSlope, Silu, GeluErfSlope, GeluErf, GeluTanhSlope, GeluTanh, QuickGeluSlope, QuickGelu,
           Softplus, Clamp, Where, Less, LessEqual, Greater, GreaterEqual, Equal, NotEqual>;

template <class O> requires(ElementwiseOps::index<O>() >= 0)
inline constexpr int detail::builtin_index<O> = ElementwiseOps::index<O>();

}  // namespace sspo
