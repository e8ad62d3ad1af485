// G3, G6, G7: where float arithmetic is hard. NaN and Inf are compared with golden/nan_inf.txt, which
// golden/make_nan_inf.py makes with PyTorch.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <sstream>

#include "sspo/ops/all.hpp"
#include "sspo/grad/backward.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity(), none = std::numeric_limits<double>::quiet_NaN();

Tensor floats(const std::vector<double>& x, const Shape& shape) { return cast(Tensor::from<double>(x, shape), DType::f32); }
Tensor floats(const std::vector<double>& x) { return floats(x, {Index(x.size())}); }

// "2x3: 1 nan inf"
Tensor parse(const std::string& text) {
  std::istringstream in(text);
  std::string head, word;
  in >> head;
  std::vector<Index> extents;
  std::string dims = head == ":" ? "" : head.substr(0, head.find(':'));
  for (char& c : dims) c = c == 'x' ? ' ' : c;
  std::istringstream numbers(dims);
  for (Index e; numbers >> e;) extents.push_back(e);
  std::vector<double> values;
  while (in >> word) values.push_back(std::strtod(word.c_str(), nullptr));
  return floats(values, Shape(extents));
}

std::vector<std::string> split(const std::string& text, const std::string& by) {
  std::vector<std::string> parts;
  std::size_t from = 0;
  for (std::size_t at; (at = text.find(by, from)) != std::string::npos; from = at + by.size()) parts.push_back(text.substr(from, at - from));
  parts.push_back(text.substr(from));
  return parts;
}

// Equal where PyTorch has NaN or Inf, close elsewhere. Subnormals may be 0.
bool agrees(double got, double want) {
  if (std::isnan(want)) return std::isnan(got);
  if (std::isinf(want)) return got == want;
  return std::abs(got - want) <= 1e-5 * std::abs(want) + 1e-6;
}

void check_agrees(const Tensor& got, const Tensor& want, const std::string& what) {
  INFO(what);
  CHECK(got.shape() == want.shape());
  if (!(got.shape() == want.shape())) return;
  const auto a = numbers(got), b = numbers(want);
  for (std::size_t i = 0; i < a.size(); ++i) {
    INFO("element " << i << ": expected " << b[i] << ", got " << a[i]);
    CHECK(agrees(a[i], b[i]));
  }
}

Tensor heads(const Tensor& x) { return reshape(x, {1, x.dim(0), 1, x.dim(1)}); }

const std::map<std::string, std::function<Tensor(const Tensors&)>>& table() {
  const auto one = [](auto f) { return [f](const Tensors& x) { return f(x[0]); }; };
  const auto two = [](auto f) { return [f](const Tensors& x) { return f(x[0], x[1]); }; };
#define ONE(name) {#name, one([](const Tensor& x) { return name(x); })}
#define TWO(name) {#name, two([](const Tensor& a, const Tensor& b) { return name(a, b); })}
  static const std::map<std::string, std::function<Tensor(const Tensors&)>> ops = {
      ONE(neg), ONE(abs), ONE(square), ONE(exp), ONE(log), ONE(sqrt), ONE(rsqrt), ONE(sin), ONE(cos), ONE(tanh), ONE(sigmoid), ONE(relu), ONE(silu),
      ONE(gelu_erf), ONE(gelu_tanh), ONE(quick_gelu), ONE(softplus), ONE(sign), ONE(geglu), ONE(softmax), ONE(log_softmax),
      TWO(add), TWO(sub), TWO(mul), TWO(div), TWO(pow), TWO(maximum), TWO(minimum), TWO(less), TWO(less_equal), TWO(greater), TWO(greater_equal),
      TWO(equal), TWO(not_equal), TWO(matmul),
      {"where", two([](const Tensor& a, const Tensor& b) { return where(a > 0.0, a, b); })},
      {"clamp", one([](const Tensor& x) { return clamp(x, -2, 2); })},
      {"sum", one([](const Tensor& x) { return sum(x, {-1}); })},
      {"mean", one([](const Tensor& x) { return mean(x, {-1}); })},
      {"max", one([](const Tensor& x) { return max(x, {-1}); })},
      {"min", one([](const Tensor& x) { return min(x, {-1}); })},
      {"argmax", one([](const Tensor& x) { return argmax(x, -1); })},
      {"var", one([](const Tensor& x) { return var(x, {-1}); })},
      {"norm", one([](const Tensor& x) { return norm(x, {-1}); })},
      {"layer_norm", one([](const Tensor& x) { return layer_norm(x); })},
      {"group_norm", one([](const Tensor& x) { return group_norm(x, {}, {}, {.groups = 2}); })},
      {"group_norm_silu", one([](const Tensor& x) { return group_norm(x, {}, {}, {.groups = 2, .silu = true}); })},
      {"mse_per_sample", one([](const Tensor& x) { return mse_per_sample(x, ones_like(x)); })},
      {"linear", two([](const Tensor& x, const Tensor& w) { return linear(x, transpose(w), floats({0, none, 1})); })},
      {"conv2d", two([](const Tensor& x, const Tensor& k) { return conv2d(x, k, {}, {.padding = same(3)}); })},
      {"resize_nearest", one([](const Tensor& x) { return resize(x, 8, 7, Resize::nearest); })},
      {"resize_bilinear", one([](const Tensor& x) { return resize(x, 7, 4, Resize::bilinear); })},
      {"avg_pool", one([](const Tensor& x) { return avg_pool(x, 2); })},
      {"attention", [](const Tensors& x) { const Tensor o = attention(heads(x[0]), heads(x[1]), heads(x[2])); return reshape(o, {o.dim(1), o.dim(3)}); }},
      {"cast_bf16", one([](const Tensor& x) { return cast(x, DType::bf16); })},
      {"cast_f16", one([](const Tensor& x) { return cast(x, DType::f16); })},
      {"cast_bool", one([](const Tensor& x) { return cast(x, DType::boolean); })},
      {"mul_bf16", two([](const Tensor& a, const Tensor& b) { return cast(a, DType::bf16) * cast(b, DType::bf16); })},
      {"cross_entropy", nullptr},  // its targets are below
  };
#undef ONE
#undef TWO
  return ops;
}

}  // namespace

TEST_CASE("G7: NaN and Inf go through every op as in PyTorch") {
  std::ifstream file(std::string(SSPO_SOURCE_DIR) + "/tests/golden/nan_inf.txt");
  REQUIRE(file.good());
  int cases = 0, cross_entropies = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const auto parts = split(line, " -> ");
    const auto call = split(parts[0], " | ");
    const std::string& name = call[0];
    Tensors in;
    for (std::size_t i = 1; i < call.size(); ++i) in.push_back(parse(call[i]));
    REQUIRE(table().count(name) == 1);
    auto f = table().at(name);
    if (name == "cross_entropy") {
      static const std::int64_t target[] = {0, 0, 1, 0};
      const std::int64_t t = target[cross_entropies++];
      f = [t](const Tensors& x) { return cross_entropy(x[0], Tensor::from<std::int64_t>({t}, {1})); };
    }
    check_agrees(f(in), parse(parts[1]), name + " " + call[1]);
    if (parts.size() > 2) {
      Tensors tracked = in;
      tracked[0] = track(in[0]);
      const Tensor y = f(tracked);
      check_agrees(backward(sum(y))[tracked[0]], parse(parts[2]), "gradient of " + name);
    }
    ++cases;
  }
  CHECK(cases >= 70);
}

// The vector loops have long bodies and short tails: a special value must not care where it lies.
TEST_CASE("G7: a NaN or Inf at any position of a long row") {
  for (Index n : {1, 7, 8, 9, 31, 64, 257})
    for (Index at : {Index(0), n / 2, n - 1})
      for (double bad : {none, inf}) {
        std::vector<double> v(std::size_t(n), 0.5);
        v[std::size_t(at)] = bad;
        const Tensor x = floats(v, {1, n});
        CAPTURE(n);
        CAPTURE(at);
        CHECK(std::isnan(numbers(max(x))[0]) == std::isnan(bad));
        CHECK(std::isnan(numbers(sum(x))[0]) == std::isnan(bad));
        CHECK(std::isinf(numbers(sum(x))[0]) == std::isinf(bad));
        CHECK(numbers(argmax(x, 1))[0] == double(at));
        for (double y : numbers(softmax(x))) CHECK((std::isnan(y) || (std::isinf(bad) && y == 0)));
        for (double y : numbers(layer_norm(x))) CHECK(std::isnan(y));
        CHECK(std::isnan(numbers(mse(x, zeros_like(x)))[0]) == std::isnan(bad));
        CHECK(std::isnan(numbers(relu(x))[std::size_t(at)]) == std::isnan(bad));
      }
}

TEST_CASE("G7: dropout passes NaN and Inf on, dropped or not, as x times the mask") {
  const Tensor x = full({64}, none);
  for (double y : numbers(dropout(x, 0.5, Rng{1}))) CHECK(std::isnan(y));
}

TEST_CASE("G3: softplus is right wherever a loss may take it") {
  const double at[] = {0, 1e-8, 1, 30, 88, 104, 1e4, inf, -1e-8, -1, -30, -88, -104, -1e4, -inf};
  for (DType t : {DType::f32, DType::f64}) {
    const double u = t == DType::f32 ? 0x1p-23 : 0x1p-52;
    for (double v : at) {
      const Tensor x = track(cast(full({1}, v, DType::f64), t));
      const double exact = std::max(v, 0.0) + std::log1p(std::exp(-std::abs(v)));
      const double slope = v >= 0 ? 1 / (1 + std::exp(-v)) : std::exp(v) / (1 + std::exp(v));
      const Tensor y = softplus(x);
      CAPTURE(v);
      const double got = numbers(y)[0], got_slope = numbers(backward(y)[x])[0];
      // f32's smallest normal number bounds what may be flushed.
      CHECK((got == exact || std::abs(got - exact) <= 4 * u * exact + (t == DType::f32 ? 0x1p-126 : 0)));
      CHECK(std::abs(got_slope - slope) <= 4 * u * slope + (t == DType::f32 ? 0x1p-126 : 0));
    }
  }
}

TEST_CASE("G3: sign(0) is 0, and nothing flows through a sign") {
  const Tensor x = track(floats({-2, -0.0, 0, 3}));
  const auto s = numbers(sign(x));
  CHECK(s == std::vector<double>{-1, 0, 0, 1});
  CHECK_FALSE(sign(x).tracked());
}

TEST_CASE("sigmoid at its ends: no overflow, no NaN") {
  const auto y = numbers(sigmoid(floats({0, 1e4, -1e4, inf, -inf, 88, -88, -104})));
  CHECK(y[0] == 0.5);
  CHECK(y[1] == 1);
  CHECK(y[2] == 0);
  CHECK(y[3] == 1);
  CHECK(y[4] == 0);
  CHECK(y[5] == 1);
  CHECK(y[6] == doctest::Approx(std::exp(-88.0)).epsilon(1e-5));
  CHECK(y[7] <= 1.2e-38);
}

TEST_CASE("G6: softmax and log_softmax at +-1e4, and rows of -Inf but one") {
  const Tensor x = floats({1e4, -1e4, 0, 1e4 - 1}, {1, 4});
  const auto y = numbers(softmax(x)), l = numbers(log_softmax(x));
  const double z = 1 + std::exp(-1.0);
  CHECK(y[0] == doctest::Approx(1 / z).epsilon(1e-6));
  CHECK(y[1] == 0);
  CHECK(y[3] == doctest::Approx(std::exp(-1.0) / z).epsilon(1e-6));
  CHECK(l[0] == doctest::Approx(-std::log(z)).epsilon(1e-6));
  CHECK(l[1] == doctest::Approx(-2e4 - std::log(z)).epsilon(1e-6));
  const auto one = numbers(softmax(floats({-inf, 3, -inf}, {1, 3})));
  CHECK(one == std::vector<double>{0, 1, 0});
  const auto far = numbers(softmax(floats({-1e4, -1e4, -1e4, -1e4}, {1, 4})));
  CHECK(far == std::vector<double>(4, 0.25));
}

TEST_CASE("G6: norms of data with mean 1e4 and std 1e-2 within 1e-3 of the truth") {
  const Index rows = 3, n = 512;
  const Tensor noise = normal(Rng{5} / "g6", {rows, n}, Device::cpu(), DType::f64);
  const Tensor x = cast(noise * 1e-2 + 1e4, DType::f32);  // the f32 grid at 1e4 is 1e-3: the truth is that of the rounded data
  const Tensor exact = cast(x, DType::f64);
  CHECK(distance(layer_norm(x, {}, {}, {.eps = 1e-12}), layer_norm(exact, {}, {}, {.eps = 1e-12})) < 1e-3);
  const Tensor image = reshape(x, {rows, 4, 16, 8}), exact_image = reshape(exact, {rows, 4, 16, 8});
  CHECK(distance(group_norm(image, {}, {}, {.groups = 2, .eps = 1e-12}), group_norm(exact_image, {}, {}, {.groups = 2, .eps = 1e-12})) < 1e-3);
  CHECK(distance(var(x, {1}), var(exact, {1})) < 1e-3 * 1e-4);
  // And the truth itself, from the definition.
  const auto v = numbers(exact);
  double mean = 0, square = 0;
  for (Index i = 0; i < n; ++i) mean += v[std::size_t(i)] / double(n);
  for (Index i = 0; i < n; ++i) square += std::pow(v[std::size_t(i)] - mean, 2) / double(n);
  CHECK(numbers(layer_norm(x, {}, {}, {.eps = 1e-12}))[7] == doctest::Approx((v[7] - mean) / std::sqrt(square)).epsilon(1e-3));
}

TEST_CASE("G6: the variance of a constant is 0, its norm's output 0") {
  for (double c : {0.0, 0.1, 1e4, -3e7}) {
    const Tensor x = full({2, 1000}, c);
    for (double y : numbers(var(x, {1}))) CHECK(y == 0);
    for (double y : numbers(layer_norm(x))) CHECK(y == 0);
    for (double y : numbers(group_norm(reshape(x, {2, 250, 4}), {}, {}, {.groups = 2}))) CHECK(y == 0);
  }
}

TEST_CASE("G6: a query that sees no key gives 0 and no gradient flows through it") {
  const auto v = [](int seed) { return cast(sample_values({1, 3, 2, 4}, {-1, 1}, seed), DType::f32); };
  const Tensor q = track(v(1)), k = track(v(2)), w = track(v(3));
  std::vector<bool> sees(9, true);
  sees[3] = sees[4] = sees[5] = false;  // query 1
  const Tensor o = attention(q, k, w, Tensor::from<bool>(sees, {1, 1, 3, 3}));
  const auto y = numbers(o);
  for (int i = 8; i < 16; ++i) CHECK(y[std::size_t(i)] == 0);
  const Gradients g = backward(sum(square(o)));
  const auto dq = numbers(g[q]);
  for (int i = 8; i < 16; ++i) CHECK(dq[std::size_t(i)] == 0);
  for (const Tensor& x : {q, k, w})
    for (double d : numbers(g[x])) CHECK(std::isfinite(d));
}

TEST_CASE("G5: a sum of 2^20 bf16 or f16 ones is right") {
  const Tensor x = full({1 << 20}, 1, DType::bf16);
  CHECK(numbers(sum(x))[0] == 1 << 20);
  CHECK(numbers(sum(reshape(x, {1 << 10, 1 << 10}), {0}))[17] == 1 << 10);
  CHECK(numbers(mean(full({1 << 20}, 1, DType::f16)))[0] == 1);
  CHECK(numbers(matmul(reshape(x, {1, 1 << 20}), reshape(x, {1 << 20, 1})))[0] == 1 << 20);
}

TEST_CASE("G5: means of losses keep f32's digits over millions of terms") {
  // 0.1 is inexact in f32: a plain f32 sum of 2^22 terms is off in the third digit.
  const Tensor p = full({4, 1 << 20}, 0.1f), t = zeros({4, 1 << 20});
  const double exact = double(0.1f) * double(0.1f);
  CHECK(numbers(mse(p, t))[0] == doctest::Approx(exact).epsilon(1e-6));
  CHECK(numbers(mean(p))[0] == doctest::Approx(double(0.1f)).epsilon(1e-6));
}

// A model that is trained and the same one frozen must compute the same: of 16 bits, what an activation takes is rounded in both.
TEST_CASE("linear: in 16 bits a frozen product's activation has the bits of a recorded one's") {
  const Rng rng{7};
  for (const DType t : {DType::bf16, DType::f16})
    for (const std::array<Index, 3>& shape : {std::array<Index, 3>{1, 40, 24}, {3, 33, 70}, {40, 65, 130}, {130, 70, 2600}, {600, 48, 33}}) {
      const Index m = shape[0], n = shape[1], k = shape[2];
      for (const Activation act : {Activation::relu, Activation::silu, Activation::gelu_erf, Activation::gelu_tanh, Activation::quick_gelu}) {
        const Tensor x = cast(2.0 * normal(rng / "x", {m, k}), t), w = cast(normal(rng / "w", {n, k}) / std::sqrt(double(k)), t), b = cast(normal(rng / "b", {n}), t);
        const Tensor residual = cast(normal(rng / "r", {m, n}), t);
        for (const Tensor& r : {Tensor{}, residual}) {
          const Tensor frozen = linear(x, w, b, act, r), recorded = linear(track(x, "x"), w, b, act, r);
          CHECK(recorded.tracked());
          CAPTURE(int(act));
          CAPTURE(m);
          CHECK(same_bits(frozen, recorded));
        }
      }
    }
}
