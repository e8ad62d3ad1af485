// Gradients of gradients against central differences of the first gradient, in f64.
#include "sspo/grad/backward.hpp"
#include "sspo/ops/all.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

using TensorFunction = Function<Tensor(const Tensors&)>;

Tensors tracked(Tensors in) {
  for (Tensor& x : in)
    if (x.defined() && is_floating(x.dtype())) x = track(x);
  return in;
}

// h(x) = Σ_i <v_i, d<s, f>/dx_i>, with s and v_i fixed: its gradient is a product with the second derivative.
Tensor directional(const TensorFunction& f, const Tensors& in, bool differentiable) {
  const Tensor y = f(in);
  const Gradients g = backward(y, {.seed = sample_values(y.shape(), {-1, 1}, 50), .differentiable = differentiable});
  Tensor h = zeros({}, DType::f64);
  int seed = 60;
  for (const Tensor& x : in)
    if (x.defined() && x.tracked())
      if (const Tensor* dx = g.find(x)) h = h + sum(*dx * sample_values(x.shape(), {-1, 1}, seed++));
  return h;
}

void check_second(const std::string& name, const TensorFunction& f, const Tensors& inputs) {
  CAPTURE(name);
  const Tensors in = tracked(inputs);
  const Tensor h = directional(f, in, true);
  REQUIRE(h.tracked());
  const Gradients g = backward(h);
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (!in[i].defined() || !in[i].tracked()) continue;
    const Tensor* found = g.find(in[i]);
    const Tensor v = sample_values(in[i].shape(), {-1, 1}, 90);
    const auto at = [&](double t) {
      Tensors moved = inputs;
      moved[i] = moved[i] + t * v;
      return numbers(directional(f, tracked(moved), false))[0];
    };
    const double s = 1e-4, expected = (8 * (at(s) - at(-s)) - (at(2 * s) - at(-2 * s))) / (12 * s);
    const double got = found ? numbers(sum(*found * v))[0] : 0;
    CAPTURE(i);
    INFO("expected " << expected << ", got " << got);
    CHECK(std::abs(got - expected) <= 1e-7 + 1e-6 * std::abs(expected));
  }
}

Tensor v(const Shape& s, int seed, double low = -1, double high = 1) { return sample_values(s, {low, high}, seed); }

}  // namespace

TEST_CASE("second derivative: elementwise ops") {
  const auto one = [](const std::string& name, auto f, double low = -2, double high = 2) {
    check_second(name, [f](const Tensors& x) { return f(x[0]); }, {v({7}, 1, low, high)});
  };
#define ONE(op, ...) one(#op, [](const Tensor& x) { return op(x); } __VA_OPT__(, ) __VA_ARGS__)
  ONE(square);
  ONE(sspo::exp);
  ONE(sspo::log, 0.3, 3);
  ONE(sspo::sqrt, 0.3, 3);
  ONE(rsqrt, 0.3, 3);
  ONE(sspo::sin);
  ONE(sspo::cos);
  ONE(sspo::tanh);
  ONE(sigmoid);
  ONE(silu);
  ONE(gelu_erf);
  ONE(gelu_tanh);
  ONE(quick_gelu);
  ONE(softplus);
#undef ONE
  one("pow", [](const Tensor& x) { return pow(x, 2.5); }, 0.3, 3);
  check_second("mul", [](const Tensors& x) { return x[0] * x[1]; }, {v({2, 3}, 1), v({3}, 2)});
  check_second("div", [](const Tensors& x) { return x[0] / x[1]; }, {v({2, 3}, 1), v({2, 1}, 2, 0.5, 2)});
  check_second("pow of two", [](const Tensors& x) { return pow(x[0], x[1]); }, {v({5}, 1, 0.5, 2), v({5}, 2)});
  check_second("where", [](const Tensors& x) { return where(x[0] > 0.0, square(x[0]), exp(x[1])); }, {v({6}, 1), v({6}, 2)});
  check_second("clamp", [](const Tensors& x) { return square(clamp(x[0], -0.5, 0.5)); }, {v({6}, 1)});
  check_second("maximum", [](const Tensors& x) { return square(maximum(x[0], x[1])); }, {v({6}, 1), v({6}, 2)});
}

TEST_CASE("second derivative: reductions and movement") {
  check_second("mean", [](const Tensors& x) { return square(mean(x[0], {1})); }, {v({2, 3, 2}, 1)});
  check_second("var", [](const Tensors& x) { return square(var(x[0], {1})); }, {v({2, 5}, 1)});
  check_second("norm", [](const Tensors& x) { return norm(x[0], {1}); }, {v({2, 5}, 1)});
  check_second("max", [](const Tensors& x) { return square(max(x[0], {1})); }, {v({2, 5}, 1)});
  check_second("movement", [](const Tensors& x) {
    const Tensor p = pad(permute(x[0], {2, 0, 1}), {{1, 1}}), q = cat({p, flip(p, {0})}, 1);
    return square(slice(reshape(q, {-1}), 0, 1, q.numel(), 2)) * index_select(reshape(q, {-1}), arange(q.numel() / 2, 0, 1, DType::i64), 0);
  }, {v({2, 3, 4}, 1)});
  check_second("gather", [](const Tensors& x) { return exp(gather(x[0], x[1], 1)); }, {v({2, 3}, 1), Tensor::from<std::int64_t>({0, 2, 2, 1}, {2, 2})});
  check_second("resize", [](const Tensors& x) { return square(avg_pool(resize(x[0], 4, 4, Resize::bilinear), 2)); }, {v({1, 3, 2, 2}, 1)});
}

TEST_CASE("second derivative: matrix products") {
  check_second("matmul", [](const Tensors& x) { return matmul(x[0], x[1]); }, {v({3, 4}, 1), v({4, 2}, 2)});
  check_second("matmul batched", [](const Tensors& x) { return tanh(matmul(x[0], x[1])); }, {v({2, 3, 4}, 1), v({4, 2}, 2)});
  check_second("linear", [](const Tensors& x) { return linear(x[0], x[1], x[2], Activation::silu); }, {v({3, 4}, 1), v({2, 4}, 2), v({2}, 3)});
}

TEST_CASE("second derivative: conv2d, with and without bias") {
  const Conv2dAttrs attrs{.stride = {2, 1}, .padding = {1, 1, 1, 0}};
  check_second("conv2d", [=](const Tensors& x) { return conv2d(x[0], x[1], {}, attrs); }, {v({1, 4, 3, 2}, 1), v({3, 3, 2, 2}, 2)});
  check_second("conv2d bias", [=](const Tensors& x) { return tanh(conv2d(x[0], x[1], x[2], attrs)); }, {v({1, 4, 3, 2}, 1), v({3, 3, 2, 2}, 2), v({3}, 3)});
}

TEST_CASE("second derivative: conv2d whose data or weight is not tracked") {
  const Tensor w = v({3, 3, 2, 2}, 2), image = v({1, 4, 3, 2}, 1);
  check_second("data", [=](const Tensors& x) { return tanh(conv2d(x[0], w, {}, {.padding = same(3)})); }, {image});
  check_second("weight", [=](const Tensors& x) { return tanh(conv2d(image, x[0], {}, {.padding = same(3)})); }, {w});
}

TEST_CASE("second derivative: fused ops") {
  check_second("softmax", [](const Tensors& x) { return softmax(x[0]); }, {v({2, 5}, 1)});
  check_second("softmax, other axis", [](const Tensors& x) { return square(softmax(x[0], 0)); }, {v({3, 2}, 1)});
  check_second("log_softmax", [](const Tensors& x) { return log_softmax(x[0]); }, {v({2, 5}, 1)});
  check_second("group_norm", [](const Tensors& x) { return group_norm(x[0], x[1], x[2], {.groups = 2, .silu = true}); }, {v({2, 3, 4}, 1), v({4}, 2), v({4}, 3)});
  check_second("layer_norm", [](const Tensors& x) { return layer_norm(x[0], x[1], x[2]); }, {v({3, 4}, 1), v({4}, 2), v({4}, 3)});
  check_second("layer_norm, plain", [](const Tensors& x) { return layer_norm(x[0]); }, {v({3, 4}, 1)});
  check_second("geglu", [](const Tensors& x) { return geglu(x[0]); }, {v({2, 6}, 1)});
  check_second("attention", [](const Tensors& x) { return attention(x[0], x[1], x[2]); }, {v({1, 3, 2, 2}, 1), v({1, 4, 2, 2}, 2), v({1, 4, 2, 2}, 3)});
  check_second("attention, causal", [](const Tensors& x) { return attention(x[0], x[0], x[0], {}, {.causal = true}); }, {v({1, 3, 1, 2}, 1)});
  check_second("mse", [](const Tensors& x) { return mse(x[0], x[1]); }, {v({2, 3}, 1), v({2, 3}, 2)});
  check_second("cross_entropy", [](const Tensors& x) { return cross_entropy(x[0], Tensor::from<std::int64_t>({1, 0}, {2})); }, {v({2, 3}, 1)});
  check_second("dropout", [](const Tensors& x) { return square(dropout(x[0], 0.5, Rng{3})); }, {v({8}, 1)});
}

TEST_CASE("second derivative: through recompute") {
  const auto block = [](const Tensors& x) { return silu(matmul(x[0], x[1])); };
  check_second("recompute", [=](const Tensors& x) { return tanh(recompute(block, {x[0], x[1]})); }, {v({2, 3}, 1), v({3, 2}, 2)});
}

TEST_CASE("third derivative of x^5 and of sin") {
  const Tensor x = track(Tensor::from<double>({1.5}, {1}));
  const auto d = [&](const Tensor& y) { return backward(y, {.differentiable = true})[x]; };
  CHECK(numbers(d(d(d(pow(x, 5.0)))))[0] == doctest::Approx(60 * 1.5 * 1.5).epsilon(1e-12));
  CHECK(numbers(d(d(d(sin(x)))))[0] == doctest::Approx(-std::cos(1.5)).epsilon(1e-12));
}

TEST_CASE("a gradient penalty trains: the norm of dL/dx differentiates by the weights") {
  const Tensor w = track(v({3, 3}, 4)), x = track(v({2, 3}, 5));
  const Tensor dx = backward(sum(tanh(matmul(x, w))), {.differentiable = true})[x];
  const Gradients g = backward(sum(square(dx)));
  CHECK(g.find(w) != nullptr);
  CHECK_FALSE(backward(sum(tanh(matmul(x, w))))[x].tracked());  // not recorded unless asked for
}
