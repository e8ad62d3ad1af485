#include <functional>

#include "sspo/grad/backward.hpp"
#include "sspo/nn/params.hpp"
#include "sspo/ops/all.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

struct Setup {
  Device device = Device::cpu({.threads = 2});
  Params params{device};
  Rng rng{21};
  Tensor x = track(normal(rng / "x", {4, 64}, device), "x");
  Setup() {
    for (int i = 0; i < 3; ++i) params.add("w" + std::to_string(i), normal(rng / "w" / i, {64, 64}, device) * 0.1);
  }
  std::function<Tensor(const Tensors&)> block(int i) const {
    const Param w = params["w" + std::to_string(i)];
    return [w](const Tensors& in) { return in[0] + silu(layer_norm(linear(in[0], w))); };
  }
};

void check_same(const Setup& s, const Tensor& a, const Tensor& b) {
  CHECK(same_bits(a, b));
  const Gradients ga = backward(sum(square(a))), gb = backward(sum(square(b)));
  CHECK(same_bits(ga[s.x], gb[s.x]));
  for (const Param& p : s.params) CHECK(same_bits(ga[p], gb[p]));
}

}  // namespace

TEST_CASE("recompute: the same bits, for inputs and for parameters that the function brings along") {
  const Setup s;
  const auto plain = [&](Tensor h) { for (int i = 0; i < 3; ++i) h = s.block(i)({h}); return h; };
  Tensor h = s.x;
  for (int i = 0; i < 3; ++i) h = recompute(s.block(i), {h});
  check_same(s, plain(s.x), h);
  const Tensor whole = recompute([&](const Tensors& in) { return plain(in[0]); }, {s.x});
  check_same(s, plain(s.x), whole);
}

// Sums of three and more contributions: in another order they would be other bits.
TEST_CASE("recompute: the same bits where paths meet: skips, an embedding that all blocks see, a parameter of several") {
  const Setup s;
  const Tensor e = track(normal(s.rng / "e", {4, 64}, s.device), "e");
  const Param w0 = s.params["w0"], w1 = s.params["w1"], w2 = s.params["w2"];
  const auto block = [&](const Tensors& in) {  // h, e: each is met more than once, and so is w1
    const Tensor a = silu(layer_norm(linear(in[0], w1))) + linear(silu(in[1]), w0);
    return in[0] + linear(gelu_erf(a) * in[1], w1) + in[1] * in[0];
  };
  const auto branch = [&](const Tensors& in) { return linear(silu(linear(silu(linear(in[0], w2)), w1)), w2) + in[1]; };
  const auto whole = [&](const auto& run) {
    Tensor h = linear(s.x, w0);
    Tensors skips{h};
    for (int i = 0; i < 3; ++i) skips.push_back(h = run(block, Tensors{h, e}));
    for (int i = 0; i < 3; ++i) {
      h = run(block, Tensors{run(branch, Tensors{h, e}) + skips.back() * 0.5 + run(block, Tensors{skips.back(), h}), e});  // side by side, too
      skips.pop_back();
    }
    return linear(h, w1) + e;
  };
  const Tensor plain = whole([](const auto& f, const Tensors& in) { return f(in); });
  const Tensor again = whole([](const auto& f, const Tensors& in) { return recompute(f, in); });
  const Tensor deep = whole([](const auto& f, const Tensors& in) {
    return recompute([&f](const Tensors& k) { return recompute(f, {k[0] * 1.0, k[1]}) * 1.0; }, in);
  });
  const Tensor shallow = whole([](const auto& f, const Tensors& in) { return f(Tensors{in[0] * 1.0, in[1]}) * 1.0; });
  check_same(s, plain, again);
  check_same(s, shallow, deep);
  CHECK(same_bits(backward(sum(square(plain)))[e], backward(sum(square(again)))[e]));
  // The gradients come in the same order, too: their norm is a sum over it.
  const Gradients ga = backward(sum(square(plain))), gb = backward(sum(square(again)));
  REQUIRE(ga.size() == gb.size());
  for (auto a = ga.begin(), b = gb.begin(); a != ga.end(); ++a, ++b) CHECK(a->leaf == b->leaf);
}

TEST_CASE("recompute: nested") {
  const Setup s;
  Tensor plain = s.x;
  for (int i = 0; i < 3; ++i) plain = s.block(i)({plain});
  const auto outer = [&](const Tensors& in) {
    const Tensor h = recompute(s.block(0), {in[0]});
    return recompute([&](const Tensors& k) { return recompute(s.block(2), {s.block(1)({k[0]})}); }, {h});
  };
  check_same(s, plain, recompute(outer, {s.x}));
}

TEST_CASE("recompute: parameters alone are enough to record it; nothing tracked records nothing") {
  const Setup s;
  const Tensor data = detach(s.x);
  const Tensor y = recompute(s.block(0), {data});
  CHECK(y.tracked());
  const Gradients g = backward(sum(y));
  CHECK(g.size() == 1);
  CHECK(same_bits(g[s.params["w0"]], backward(sum(s.block(0)({data})))[s.params["w0"]]));
  CHECK_FALSE(recompute([](const Tensors& in) { return exp(in[0]); }, {data}).tracked());
}

TEST_CASE("recompute: several inputs, one twice, one untracked, one absent") {
  const Tensor a = track(normal(Rng{1}, {5})), b = normal(Rng{2}, {5});
  const auto f = [](const Tensors& in) { return in[0] * in[1] + exp(in[2]) * (in[3].defined() ? 2.0 : 3.0); };
  const Tensor y = recompute(f, {a, a, b, {}}), z = f({a, a, b, {}});
  CHECK(same_bits(y, z));
  CHECK(distance(backward(sum(y))[a], backward(sum(z))[a]) == 0);
}

TEST_CASE("recompute: takes less memory, forward and at the peak of backward") {
  const Device d = Device::cpu({.threads = 1});
  const Tensor x = track(full({1 << 16}, 0.1, DType::f32, d));
  const auto block = [](const Tensors& in) {
    Tensor h = in[0];
    for (int i = 0; i < 8; ++i) h = sin(h);  // keeps 8 operands
    return h;
  };
  const auto peak = [&](bool again) {
    d.reset_peak_memory();
    const std::size_t before = d.memory().in_use;
    Tensor h = x;
    for (int i = 0; i < 8; ++i) h = again ? recompute(block, {h}) : block({h});
    const std::size_t held = d.memory().in_use - before;
    backward(sum(h));
    return std::pair{held, d.memory().peak - before};
  };
  const auto [plain_held, plain_peak] = peak(false);
  const auto [held, most] = peak(true);
  CHECK(held * 6 < plain_held);
  CHECK(most * 2 < plain_peak);
}

TEST_CASE("recompute: dropout draws the same mask again") {
  const Tensor x = track(ones({1000}));
  const auto f = [](const Tensors& in) { return dropout(in[0], 0.3, Rng{5} / "drop"); };
  CHECK(same_bits(backward(sum(recompute(f, {x})))[x], backward(sum(f({x})))[x]));
}

TEST_CASE("recompute: a parameter stepped before backward is an error here too") {
  const Setup s;
  const Tensor y = sum(recompute(s.block(1), {s.x}));
  Param w = s.params["w1"];
  w.assign(zeros({64, 64}, DType::f32, s.device));
  check_error([&] { backward(y); }, {"a parameter was changed after the graph saved it", "'w1'", "recompute"});
  const Tensor z = sum(recompute([&](const Tensors& in) { return recompute(s.block(1), {in[0]}); }, {s.x}));
  w.assign(zeros({64, 64}, DType::f32, s.device));
  check_error([&] { backward(z); }, {"'w1'"});
}

TEST_CASE("recompute: an exception inside leaves recording as it was") {
  const Tensor x = track(ones({2}));
  check_error([&] { recompute([](const Tensors& in) { return in[0] + zeros({3}); }, {x}); }, {"do not broadcast"});
  CHECK((x + 1.0).tracked());
}
