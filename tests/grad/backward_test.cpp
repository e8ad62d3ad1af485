#include "sspo/grad/backward.hpp"
#include "sspo/nn/params.hpp"
#include "sspo/ops/all.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {
Tensor doubles(const std::vector<double>& v) { return Tensor::from<double>(v, {Index(v.size())}); }
}  // namespace

TEST_CASE("backward: a diamond adds what flows along both arms, once each") {
  const Tensor x = track(doubles({3}), "x");
  const Tensor a = square(x);           // 9
  const Tensor b = a * 2.0, c = a * a;  // 18, 81
  const Tensor y = b * c + a;           // 2 a^3 + a
  const Gradients g = backward(y);      // (6 a^2 + 1) 2 x
  CHECK(numbers(g[x])[0] == (6 * 81 + 1) * 6);
  CHECK(g.size() == 1);
}

TEST_CASE("backward: the same tensor as both operands, and arms of unequal length") {
  const Tensor x = track(doubles({2}));
  CHECK(numbers(backward(x * x)[x])[0] == 4);
  CHECK(numbers(backward(x - x)[x])[0] == 0);
  Tensor long_arm = x;
  for (int i = 0; i < 20; ++i) long_arm = long_arm * 1.5;
  CHECK(numbers(backward(long_arm * x)[x])[0] == doctest::Approx(2 * 2 * std::pow(1.5, 20)));
}

TEST_CASE("backward: a chain of 200,000 ops is built, walked and freed without recursion") {
  const Tensor x = track(doubles({1}));
  {
    Tensor y = x;
    for (int i = 0; i < 100000; ++i) y = -(y * 1.0);
    CHECK(numbers(backward(y)[x])[0] == 1);
  }
  {  // and a ladder, where every node has two ways down
    Tensor y = x;
    for (int i = 0; i < 60; ++i) y = (y + y) * 0.5;
    CHECK(numbers(backward(y)[x])[0] == 1);
  }
}

TEST_CASE("backward: a seed weighs the results; without one they must be a scalar") {
  const Tensor x = track(doubles({1, 2, 3}), "x");
  CHECK(numbers(backward(square(x), {.seed = doubles({1, 10, 100})})[x]) == std::vector<double>{2, 40, 600});
  check_error([&] { backward(square(x)); }, {"backward: the result is not a scalar", "[3]", "mean() or sum()", "backward_test.cpp"});
  check_error([&] { backward(square(x), {.seed = doubles({1, 2})}); }, {"the seed does not fit", "[3] f64", "[2] f64", "backward_test.cpp"});
  check_error([&] { backward(square(x), {.seed = zeros({3})}); }, {"the seed does not fit", "[3] f32"});
  CHECK(numbers(backward(reshape(sum(x), {1, 1}))[x])[0] == 1);  // one element is enough
}

TEST_CASE("backward: nothing tracked, nothing defined") {
  check_error([] { backward(ones({})); }, {"backward: nothing to differentiate by", "not tracked", "track(x)", "backward_test.cpp"});
  check_error([] { backward(Tensor{}); }, {"backward"});
  const Tensor x = track(doubles({1}));
  check_error([&] { backward(detach(x) * 2.0); }, {"nothing to differentiate by"});
  check_error([] { track(zeros({2}, DType::i64)); }, {"track: only floating-point tensors", "[2] i64", "backward_test.cpp"});
  check_error([] { track(Tensor{}); }, {"track", "undefined"});
}

TEST_CASE("backward: adds to gradients already there") {
  const Tensor x = track(doubles({2})), z = track(doubles({5}));
  Gradients g;
  for (int i = 0; i < 3; ++i) backward(square(x), g);
  backward(z * x, g);
  CHECK(numbers(g[x])[0] == 3 * 4 + 5);
  CHECK(numbers(g[z])[0] == 2);
  Gradients other = backward(x * 7.0);
  other.add(g);
  CHECK(numbers(other[x])[0] == 24);
  CHECK(numbers(g[x])[0] == 17);
}

TEST_CASE("Gradients: asking for what is not there says why") {
  const Tensor x = track(doubles({2}), "x"), z = track(doubles({5}), "z");
  const Tensor y = square(x);
  const Gradients g = backward(y * 2.0);
  check_error([&] { g[z]; }, {"gradients: no gradient for this tensor", "'z' [1] f64, to which nothing flowed"});
  check_error([&] { g[y]; }, {"the result of square"});
  check_error([&] { g[doubles({1})]; }, {"not tracked"});
  check_error([&] { g[Tensor{}]; }, {"no gradient"});
  CHECK(g.find(z) == nullptr);
  CHECK(g.find(x) == &g[x]);
}

TEST_CASE("backward: writes into no tensor and can be run again on the same graph") {
  const Tensor x = track(doubles({2}));
  const Tensor y = exp(x * x);
  const Gradients a = backward(y), b = backward(y);
  CHECK(same_bits(a[x], b[x]));
  CHECK(numbers(x)[0] == 2);
}

TEST_CASE("backward: a gradient has its leaf's shape and dtype, through broadcasts and casts") {
  const Tensor x = track(zeros({3, 1}, DType::bf16));
  const Tensor y = sum(cast(x, DType::f32) + ones({2, 3, 4}));
  const Tensor g = backward(y)[x];
  CHECK(g.shape() == Shape{3, 1});
  CHECK(g.dtype() == DType::bf16);
  CHECK(numbers(g) == std::vector<double>(3, 8));
}

TEST_CASE("backward: what no gradient needs is not kept, what is not tracked is not recorded") {
  const Device d = Device::cpu({.threads = 1});
  const Tensor x = track(zeros({1 << 16}, DType::f32, d)), c = zeros({1 << 16}, DType::f32, d);
  const std::size_t before = d.memory().in_use, buffer = 4 << 16;
  Tensor y = x;
  for (int i = 0; i < 10; ++i) y = (y + 1.0) * c;  // c is kept already; y + 1 is not needed
  CHECK(d.memory().in_use <= before + buffer + 10 * 256);
  Tensor z = c;
  for (int i = 0; i < 10; ++i) z = square(z);
  CHECK_FALSE(z.tracked());
  CHECK(d.memory().in_use <= before + 2 * buffer + 10 * 256);
}

TEST_CASE("backward: a graph is freed with its result; nothing leaks through cycles") {
  const Device d = Device::cpu({.threads = 1});
  const Tensor x = track(full({1000}, 0.5, DType::f32, d));
  const std::size_t before = d.memory().in_use;
  {
    const Tensor h = softmax(exp(sigmoid(tanh(reshape(x, {10, 100})))));
    const Tensor y = sum(group_norm(h, {}, {}, {.groups = 4}));
    const Gradients g = backward(y);
    const Gradients twice = backward(sum(exp(sin(x))), {.differentiable = true});
    CHECK(d.memory().in_use > before);
  }
  CHECK(d.memory().in_use == before);
}

TEST_CASE("backward: a parameter changed after the graph saved it is an error that names it") {
  Params params;
  params.add("layer.weight", full({2, 2}, 2));
  const Param w = params["layer.weight"];
  const auto loss = [&] { return sum(square(matmul(ones({2, 2}), w))); };
  const Tensor y = sum(Tensor(w) * 3.0);  // its gradient does not need w: the change does not matter
  Param(w).assign(full({2, 2}, 3));
  CHECK(numbers(backward(y).begin()->value)[0] == 3);
  const Tensor z = sum(square(Tensor(w)));
  Param(w).assign(full({2, 2}, 4));
  check_error([&] { backward(z); }, {"backward: a parameter was changed after the graph saved it", "'layer.weight', saved by square", "before the optimizer's step", "run the forward pass again", "backward_test.cpp"});
  const Tensor x = track(ones({2, 2}));
  const Tensor t = sum(matmul(x, transpose(Tensor(w))));  // a view of it is watched as well
  Param(w).assign(full({2, 2}, 5));
  check_error([&] { backward(t); }, {"'layer.weight', saved by matmul"});
  const Tensor e = sum(exp(Tensor(w)));  // keeps its own result, not the parameter
  Param(w).assign(full({2, 2}, 6));
  CHECK(numbers(backward(e).begin()->value)[0] == doctest::Approx(std::exp(5.0)));
  CHECK_NOTHROW(backward(loss()));
}

TEST_CASE("backward: equal bits for 1, 2, 3 and 8 threads through a small network") {
  const auto run = [](int threads) {
    const Device d = Device::cpu({.threads = threads, .fill_with_nan = true});
    const Rng rng = Rng{11} / "threads";
    Params params(d);
    const auto add = [&](const char* name, const Shape& s) { params.add(name, normal(rng / name, s, d) * 0.2); return Tensor(params[name]); };
    const Tensor x = normal(rng / "x", {2, 9, 9, 16}, d);
    Tensor h = conv2d(x, add("conv", {32, 3, 3, 16}), add("conv_bias", {32}), {.padding = same(3)});
    h = group_norm(h, add("gamma", {32}), add("beta", {32}), {.groups = 8, .silu = true});
    Tensor tokens = reshape(h, {2, 81, 32});
    const Tensor q = reshape(linear(tokens, add("q", {32, 32})), {2, 81, 4, 8});
    const Tensor k = reshape(linear(tokens, add("k", {32, 32})), {2, 81, 4, 8}), v = reshape(linear(tokens, add("v", {32, 32})), {2, 81, 4, 8});
    tokens = tokens + reshape(attention(q, k, v), {2, 81, 32});
    tokens = linear(geglu(linear(layer_norm(tokens), add("up", {128, 32}), add("up_bias", {128}))), add("down", {32, 64}));
    const Tensor loss = mse(softmax(tokens), zeros({2, 81, 32}, DType::f32, d)) + mean(dropout(tokens, 0.1, rng / "drop"));
    const Gradients g = backward(loss);
    Tensors all{detach(loss)};
    for (const Param& p : params) all.push_back(g[p]);
    return all;
  };
  const Tensors one = run(1);
  for (int threads : {1, 2, 3, 8}) {
    const Tensors other = run(threads);
    REQUIRE(other.size() == one.size());
    for (std::size_t i = 0; i < one.size(); ++i) {
      CAPTURE(threads);
      CAPTURE(i);
      CHECK(same_bits(one[i], other[i]));
      for (double v : numbers(one[i])) REQUIRE(std::isfinite(v));
    }
  }
}
