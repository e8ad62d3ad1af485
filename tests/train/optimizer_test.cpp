// Optimizers against double-precision loops of PyTorch's formulas.
#include <algorithm>

#include "sspo/train/ema.hpp"
#include "sspo/train/optimizer.hpp"
#include "sspo/ops/all.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

constexpr Index n = 1003;  // no multiple of a vector

struct Problem {
  Params params;
  std::vector<double> p0;
  explicit Problem(int threads = 2) : params(Device::cpu({.threads = threads})) {
    params.add("w", normal(Rng{1}, {n}, params.device()));
    params.add("unused", ones({3}, DType::f32, params.device()));
    p0 = numbers(params["w"].value());
  }
  Tensor grad_values(int step) const { return normal(Rng{2} / step, {n}, params.device()) * (step % 3 == 0 ? 10.0 : 0.1); }
  Gradients grads(int step) const { return backward(sum(Tensor(params["w"]) * grad_values(step))); }
};

void check_close(const std::vector<double>& got, const std::vector<double>& want, double tolerance) {
  double worst = 0;
  for (std::size_t i = 0; i < want.size(); ++i) worst = std::max(worst, std::abs(got[i] - want[i]) / (1 + std::abs(want[i])));
  CHECK(worst <= tolerance);
}

// torch.optim.AdamW, one parameter, in double.
void adamw_reference(std::vector<double>& p, std::vector<double>& m, std::vector<double>& v, const std::vector<double>& g, int t, double lr,
                     const AdamW::Options& o, double scale = 1) {
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double gi = g[i] * scale;
    p[i] -= lr * o.weight_decay * p[i];
    m[i] = o.beta1 * m[i] + (1 - o.beta1) * gi;
    v[i] = o.beta2 * v[i] + (1 - o.beta2) * gi * gi;
    const double m_hat = m[i] / (1 - std::pow(o.beta1, t)), v_hat = v[i] / (1 - std::pow(o.beta2, t));
    p[i] -= lr * m_hat / (std::sqrt(v_hat) + o.eps);
  }
}

}  // namespace

TEST_CASE("AdamW: 30 steps as PyTorch's formula in double; what has no gradient stays") {
  Problem s;
  AdamW adamw(s.params, {.lr = 3e-3, .weight_decay = 0.1});
  std::vector<double> p = s.p0, m(n), v(n);
  for (int t = 1; t <= 30; ++t) {
    const double lr = t > 15 ? 1e-3 : 3e-3;
    adamw.step(s.grads(t), t > 15 ? std::optional(lr) : std::nullopt);
    adamw_reference(p, m, v, numbers(s.grad_values(t)), t, lr, adamw.options);
  }
  CHECK(adamw.steps() == 30);
  check_close(numbers(s.params["w"].value()), p, 2e-6);
  check_close(numbers(adamw.moments()[0].m), m, 1e-6);
  check_close(numbers(adamw.moments()[0].v), v, 1e-5);
  CHECK(numbers(s.params["unused"].value()) == std::vector<double>(3, 1));
}

TEST_CASE("G6: Adam's first step is the sign of the gradient, whatever its size; the millionth is not off") {
  for (double size : {1e-6, 1.0, 1e6}) {
    Params params;
    params.add("w", zeros({2}));
    AdamW adamw(params, {.lr = 0.5, .weight_decay = 0});
    adamw.step(backward(sum(Tensor(params["w"]) * Tensor::from<float>({float(size), -float(size)}, {2}))));
    const auto w = numbers(params["w"].value());
    CHECK(w[0] == doctest::Approx(-0.5 * size / (size + 1e-8)).epsilon(1e-5));
    CHECK(w[1] == doctest::Approx(0.5 * size / (size + 1e-8)).epsilon(1e-5));
  }
  Params params;
  params.add("w", zeros({1}));
  AdamW adamw(params, {.lr = 1e-6, .weight_decay = 0});
  const Gradients g = backward(sum(Tensor(params["w"]) * 2.0));
  for (int t = 0; t < 20000; ++t) adamw.step(g);  // far beyond where 1 - beta^t is 1 in f32 for beta1
  CHECK(numbers(params["w"].value())[0] == doctest::Approx(-20000 * 1e-6).epsilon(1e-3));
}

TEST_CASE("SGD: momentum and weight decay as PyTorch's formula in double") {
  for (double momentum : {0.0, 0.9}) {
    Problem s;
    Sgd sgd(s.params, {.lr = 1e-2, .momentum = momentum, .weight_decay = 0.05});
    std::vector<double> p = s.p0, u(n);
    for (int t = 1; t <= 10; ++t) {
      sgd.step(s.grads(t));
      const auto g = numbers(s.grad_values(t));
      for (std::size_t i = 0; i < p.size(); ++i) {
        u[i] = momentum * u[i] + g[i] + 0.05 * p[i];
        p[i] -= 1e-2 * u[i];
      }
    }
    check_close(numbers(s.params["w"].value()), p, 2e-6);
    CHECK(numbers(s.params["unused"].value()) == std::vector<double>(3, 1));
  }
}

TEST_CASE("clip_norm: the norm over all gradients, in double; the scale reaches the step") {
  Params params;
  params.add("a", zeros({1 << 16}));
  params.add("b", zeros({1}));
  const Gradients g = backward(sum(Tensor(params["a"]) * 0.1) + sum(Tensor(params["b"]) * 3.0));
  const double exact = std::sqrt(65536 * double(0.1f) * double(0.1f) + 9);
  CHECK(global_norm(g) == doctest::Approx(exact).epsilon(1e-12));
  const ClippedGradients clipped = clip_norm(g, 1.0);
  CHECK(clipped.norm == doctest::Approx(exact).epsilon(1e-12));
  CHECK(clipped.scale == doctest::Approx(1 / exact));
  CHECK(clip_norm(g, 1e9).scale == 1);
  CHECK(global_norm(Gradients{}) == 0);
  CHECK(clip_norm(Gradients{}, 1).scale == 1);
  check_error([&] { clip_norm(g, 0); }, {"clip_norm", "max_norm > 0"});
  check_error([&] { clip_norm(g, NAN); }, {"clip_norm"});

  Sgd(params, {.lr = 1}).step(clipped);
  CHECK(numbers(params["b"].value())[0] == doctest::Approx(-3 / exact).epsilon(1e-6));
  Problem s;
  AdamW adamw(s.params);
  std::vector<double> p = s.p0, m(n), v(n);
  for (int t = 1; t <= 5; ++t) {
    const auto c = clip_norm(s.grads(t), 0.5);
    adamw.step(c);
    adamw_reference(p, m, v, numbers(s.grad_values(t)), t, 1e-3, adamw.options, c.scale);
  }
  check_close(numbers(s.params["w"].value()), p, 2e-6);
}

TEST_CASE("optimizers: a bad gradient is refused before anything has changed") {
  Params params;
  params.add("a", ones({3}));
  params.add("b", ones({3}));
  AdamW adamw(params);
  Sgd sgd(params, {.momentum = 0.9});
  Gradients bad = backward(sum(Tensor(params["a"]) * 2.0));
  bad.add(Tensor(params["b"]).node(), zeros({4}));
  for (int which = 0; which < 2; ++which) {
    check_error([&] { which ? adamw.step(bad) : sgd.step(bad); },
                {"the gradient does not fit the parameter 'b'", "[3] f32", "[4] f32", "optimizer_test.cpp"});
    Gradients wide = backward(sum(Tensor(params["a"])));
    wide.add(Tensor(params["b"]).node(), zeros({3}, DType::f64));
    check_error([&] { which ? adamw.step(wide) : sgd.step(wide); }, {"'b'", "[3] f64"});
  }
  CHECK(adamw.steps() == 0);
  CHECK(numbers(params["a"].value()) == std::vector<double>(3, 1));
  CHECK(numbers(adamw.moments()[0].m) == std::vector<double>(3, 0));
  Params wide;
  wide.add("w", zeros({2}, DType::f64));
  check_error([&] { AdamW{wide}; }, {"adamw: only f32 parameters", "'w' [2] f64"});
}

TEST_CASE("optimizers: gradients that are views, broadcasts, or another parameter's numbers") {
  Params params;
  params.add("a", Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3}));
  params.add("b", full({2, 3}, 10));
  Sgd sgd(params, {.lr = 1});
  sgd.step(backward(sum(Tensor(params["a"]))));  // sum's gradient: one number, broadcast
  CHECK(numbers(params["a"].value()) == std::vector<double>{0, 1, 2, 3, 4, 5});
  sgd.step(backward(transpose(Tensor(params["a"])), {.seed = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {3, 2})}));
  CHECK(numbers(params["a"].value()) == std::vector<double>{-1, -2, -3, 1, 0, -1});
  // Both gradients are the other's numbers: both from before the step.
  const std::vector<double> a = numbers(params["a"].value());
  Gradients crossed;
  crossed.add(Tensor(params["a"]).node(), params["b"].value());
  crossed.add(Tensor(params["b"]).node(), params["a"].value());
  sgd.step(crossed);
  for (std::size_t i = 0; i < 6; ++i) {
    CHECK(numbers(params["a"].value())[i] == a[i] - 10);
    CHECK(numbers(params["b"].value())[i] == 10 - a[i]);
  }
}

TEST_CASE("optimizers: a step makes graphs that saved the parameter stale") {
  Params params;
  params.add("w", ones({2}));
  const Tensor y = sum(square(Tensor(params["w"])));
  const Gradients g = backward(y);
  AdamW(params).step(g);
  check_error([&] { backward(y); }, {"'w'", "changed"});
}

TEST_CASE("optimizers: frozen parameters are left alone and cost no moments") {
  Problem s;
  s.params.freeze("w");
  CHECK(AdamW(s.params).moments().size() == 1);
}

TEST_CASE("AdamW: equal bits for any number of threads") {
  const auto run = [](int threads) {
    Params params(Device::cpu({.threads = threads}));
    params.add("big", normal(Rng{1}, {300001}, params.device()));
    params.add("small", normal(Rng{2}, {7}, params.device()));
    AdamW adamw(params);
    for (int t = 0; t < 3; ++t) {
      const Gradients g = backward(sum(square(Tensor(params["big"]))) + sum(Tensor(params["small"])));
      adamw.step(clip_norm(g, 1.0));
    }
    return params["big"].value();
  };
  const Tensor one = run(1);
  for (int threads : {2, 3, 8}) CHECK(same_bits(one, run(threads)));
}

TEST_CASE("Ema: decay average + (1 - decay) parameters, as parameters without gradient") {
  Problem s;
  Ema ema(s.params, 0.9);
  std::vector<double> average = s.p0;
  for (int t = 1; t <= 10; ++t) {
    Param(s.params["w"]).assign(s.grad_values(t));
    ema.update(s.params);
    const auto w = numbers(s.params["w"].value());
    for (std::size_t i = 0; i < average.size(); ++i) average[i] = 0.9 * average[i] + 0.1 * w[i];
  }
  check_close(numbers(ema.params()["w"].value()), average, 1e-6);
  CHECK_FALSE(ema.params()["w"].trainable());
  CHECK(s.params["w"].trainable());
  Params other;
  other.add("v", zeros({n}));
  check_error([&] { ema.update(other); }, {"ema", "parameters", "optimizer_test.cpp"});
  other.add("unused", zeros({3}));
  check_error([&] { ema.update(other); }, {"ema", "'w'", "'v'"});
}

TEST_CASE("training: a line is learned") {
  Params params;
  params.add("slope", zeros({1, 1}));
  params.add("offset", zeros({1}));
  AdamW adamw(params, {.lr = 0.05, .weight_decay = 0});
  const Tensor x = normal(Rng{3}, {64, 1}), y = x * 3.0 - 2.0;
  double loss = 0;
  for (int step = 0; step < 400; ++step) {
    const Tensor l = mse(linear(x, params["slope"], params["offset"]), y);
    adamw.step(backward(l));
    loss = l.item<float>();
  }
  CHECK(loss < 1e-6);
  CHECK(params["slope"].value().item<float>() == doctest::Approx(3).epsilon(1e-3));
}
