// An op takes the buffer of an operand that ends with the call, and of no other.
#include "sspo/grad/backward.hpp"
#include "sspo/nn/params.hpp"
#include "sspo/ops/all.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

constexpr Index n = 1 << 16;
constexpr std::size_t bytes = std::size_t(n) * 4;

// The buffers that f needs beyond what is in use.
template <class F>
std::size_t extra_buffers(const Device& d, F&& f) {
  d.reset_peak_memory();
  const std::size_t before = d.memory().in_use;
  f();
  return (d.memory().peak - before) / bytes;
}

}  // namespace

TEST_CASE("reuse: a chain on a temporary needs one buffer") {
  const Device d = Device::cpu({.threads = 1});
  const Tensor x = full({n}, 0.25, DType::f32, d);
  CHECK(extra_buffers(d, [&] { neg(exp(sin(x * 2.0) + 1.0)); }) == 1);
  CHECK(extra_buffers(d, [&] { Tensor y = x + x; y = std::move(y) * 3.0; y = tanh(std::move(y)); }) == 1);
  CHECK(extra_buffers(d, [&] { where(x > 0.0, exp(x), neg(x)); }) == 2);  // and the mask, a quarter
}

TEST_CASE("reuse: never while someone else holds the tensor, a view of it, or its graph") {
  const Device d = Device::cpu({.threads = 1});
  const Tensor x = full({n}, 1, DType::f32, d);
  Tensor y = x + 1.0;
  const Tensor held = y, view = slice(y, 0, 0, 4);
  const Tensor z = neg(std::move(y));
  CHECK(numbers(held)[0] == 2);
  CHECK(numbers(z)[0] == -2);
  {
    Tensor a = x + 1.0;
    const Tensor part = slice(a, 0, 0, 4);
    const Tensor b = neg(std::move(a));
    CHECK(numbers(part) == std::vector<double>(4, 2));
  }
  {  // the same tensor twice
    Tensor a = x + 1.0;
    Tensor copy = a;
    CHECK(numbers(std::move(a) * std::move(copy))[0] == 4);
  }
  {  // an operand that is broadcast over itself
    Tensor a = arange(4, 1, 1, DType::f32, d);
    const Tensor column = reshape(a, {4, 1});
    const Tensor row = std::move(a) * column;
    CHECK(numbers(row) == std::vector<double>{1, 2, 3, 4, 2, 4, 6, 8, 3, 6, 9, 12, 4, 8, 12, 16});
    CHECK(numbers(column) == std::vector<double>{1, 2, 3, 4});
  }
  const Tensor t = track(x);
  Tensor e = exp(t);                       // exp keeps its result
  const Tensor s = neg(std::move(e));
  CHECK(numbers(backward(sum(s))[t])[0] == doctest::Approx(-std::exp(1.0)));
  Tensor m = t * 2.0;
  const Tensor q = square(std::move(m));   // square keeps its operand
  CHECK(numbers(backward(sum(neg(q)))[t])[0] == -8);
}

TEST_CASE("reuse: results do not depend on it, for every elementwise op that may") {
  const auto fresh = [] { return full({9}, 0.375) + 0.0; };
  const Tensor held = fresh();
  for (auto f : std::initializer_list<Tensor (*)(Tensor, Site)>{&neg, &sspo::abs, &sign, &square, &sspo::exp, &sspo::log, &sspo::sqrt, &rsqrt, &sspo::sin,
                                                                &sspo::cos, &sspo::tanh, &sigmoid, &relu, &silu, &gelu_erf, &gelu_tanh, &quick_gelu, &softplus})
    CHECK(same_bits(f(fresh(), Site{}), f(held, Site{})));
  CHECK(same_bits(add(fresh(), held), add(held, held)));
  CHECK(same_bits(sub(held, fresh()), sub(held, held)));
  CHECK(same_bits(transpose(full({2, 3}, 2) + 0.0) + Tensor::from<float>({1, 2}, {2}), Tensor::from<float>({3, 4, 3, 4, 3, 4}, {3, 2})));
}

TEST_CASE("reuse: never a parameter's buffer") {
  Params params;
  params.add("w", full({8}, 2));
  {
    const Tensor y = neg(Tensor(params["w"])), z = neg(params["w"].value());
    CHECK(numbers(y)[0] == -2);
  }
  CHECK(numbers(params["w"].value()) == std::vector<double>(8, 2));
  Params frozen = params.snapshot();
  frozen.frozen();
  { const Tensor y = exp(Tensor(frozen["w"])); }
  CHECK(numbers(frozen["w"].value()) == std::vector<double>(8, 2));
}

TEST_CASE("reuse: a gradient that the caller holds is not overwritten by later ones") {
  const Tensor x = track(ones({4}));
  Gradients g = backward(sum(x * 3.0));
  const Tensor first = g[x];
  backward(sum(x * 4.0), g);
  CHECK(numbers(first) == std::vector<double>(4, 3));
  CHECK(numbers(g[x]) == std::vector<double>(4, 7));
  const Tensor seed = full({4}, 2);
  const Tensor z = x + x;
  CHECK(numbers(backward(z, {.seed = seed})[x]) == std::vector<double>(4, 4));
  CHECK(numbers(seed) == std::vector<double>(4, 2));
}
