// Low-rank changes beside frozen weights: which layers get one, that a zero one changes no bit, and gradients in double.
#include "sspo/nn/layers.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

// Products and convolutions with every kind of surroundings: an activation, a residual, a stride.
struct Net {
  nn::Linear to_q, ff;
  nn::Conv2d conv1, down, to_out;
  explicit Net(const Scope& p)
      : to_q(p / "attn" / "to_q", 6, 6, {.bias = false}), ff(p / "ff" / "net" / 0 / "proj", 6, 6), conv1(p / "conv1", 6, 4, {.padding = same(3)}),
        down(p / "down", 4, 4, {.stride = {2, 2}, .padding = {0, 1, 0, 1}}), to_out(p / "to_out" / 0, 4, 6, {.kernel = 1}) {}
  Tensor operator()(const Tensor& x) const {  // [B, H, W, 6] -> [B, H/2, W/2, 6]
    const Tensor h = ff(to_q(x, x), Activation::silu);
    const Tensor y = down(conv1(h));
    return to_out(y, to_out(silu(y)));
  }
};
const std::vector<std::string> every = {"to_q", "proj", "conv1", "down", "to_out.0"};

Tensor input(DType dtype) { return cast(normal(Rng{3} / "x", {2, 6, 4, 6}), dtype); }

// The same numbers in another dtype.
Params in(const Params& params, DType dtype) {
  Params other;
  for (const Param& p : params) other.add(p.name(), cast(p.value(), dtype));
  return other;
}

struct Adapted {
  Params base{Device::cpu(), Rng{1}}, numbers{Device::cpu(), Rng{2}};
  std::optional<Net> net;
  explicit Adapted(DType dtype, double alpha = 3, bool zero = false) {
    nn::LoraOptions o{.rank = 2, .alpha = alpha, .targets = every};
    nn::Adapters made(numbers / "unet", o);
    Net(Scope(base, "").with(made));
    for (Param p : numbers)
      if (!zero && p.name().ends_with("lora_B.weight")) p.assign(normal(Rng{5} / p.name(), p.shape()) * 0.3);
    base = in(base, dtype), numbers = in(numbers, dtype);
    nn::Adapters adapters(numbers / "unet", o);
    net.emplace(Scope(base.frozen(), "").with(adapters));
    adapters.require_all_matched();
  }
};

}  // namespace

TEST_CASE("LoRA: a layer's change is named as in diffusers' files, A of variance 1 / rank squared, B zero") {
  const Adapted a(DType::f32, 3, true);
  CHECK(a.numbers.size() == 10);
  CHECK(a.numbers["unet.attn.to_q.lora_A.weight"].shape() == Shape{2, 6});
  CHECK(a.numbers["unet.attn.to_q.lora_B.weight"].shape() == Shape{6, 2});
  CHECK(a.numbers["unet.down.lora_A.weight"].shape() == Shape{2, 3, 3, 4});
  CHECK(a.numbers["unet.down.lora_B.weight"].shape() == Shape{4, 1, 1, 2});
  CHECK(a.numbers["unet.to_out.0.lora_A.weight"].shape() == Shape{2, 1, 1, 4});
  for (const double v : numbers(a.numbers["unet.ff.net.0.proj.lora_B.weight"].value())) CHECK(v == 0);

  Params wide(Device::cpu(), Rng{9}), numbers_of(Device::cpu(), Rng{8});
  nn::Adapters adapters(numbers_of, {.rank = 5, .alpha = 5, .targets = {"f"}});
  nn::Linear(Scope(wide, "").with(adapters) / "f", 4000, 3);
  double squares = 0;
  for (const double v : numbers(numbers_of["f.lora_A.weight"].value())) squares += v * v;
  CHECK(std::sqrt(squares / 20000) == doctest::Approx(1.0 / 5).epsilon(0.02));
}

TEST_CASE("LoRA: while B is zero every bit is that of the layers alone, in f32 and bf16") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Adapted a(dtype, 3, true);
    const Tensor x = input(dtype), alone = Net(Scope(a.base, ""))(x);
    const Tensor y = (*a.net)(x);
    CHECK(y.tracked());
    CHECK_FALSE(alone.tracked());
    if (dtype == DType::f32) CHECK(distance(y, alone) <= 1e-6);  // silu is no longer fused into the product that it follows
    else CHECK(distance(y, alone) <= 0.05);
    // One without an activation: the same kernels, plus exactly 0.
    const nn::Linear plain(Scope(a.base, "attn") / "to_q", 6, 6, {.bias = false});
    CHECK(same_bits(a.net->to_q(x), plain(x)));
    CHECK(same_bits(a.net->to_q(x, x), plain(x, x)));
  }
}

TEST_CASE("LoRA: gradients of A and B in double, each entry within 1e-7 of central differences; frozen weights have none") {
  Adapted a(DType::f64);
  const Tensor x = input(DType::f64);
  const Tensor cotangent = cast(normal(Rng{4}, {2, 3, 2, 6}), DType::f64);
  const auto loss = [&] { return sum((*a.net)(x) * cotangent); };
  const Gradients g = backward(loss());
  CHECK(g.size() == a.numbers.size());
  for (const Param& p : a.base) CHECK(p.gradient(g) == nullptr);
  for (Param p : a.numbers) {
    INFO(p.name());
    const Tensor* own = p.gradient(g);
    REQUIRE(own);
    const std::vector<double> found = numbers(*own), at = numbers(p.value());
    for (std::size_t i = 0; i < at.size(); ++i) {
      const auto moved = [&](double h) {
        std::vector<double> v = at;
        v[i] += h;
        p.assign(Tensor::from(v, p.shape()));
        return loss().item<double>();
      };
      const double h = 1e-4, slope = (4 * (moved(h / 2) - moved(-h / 2)) / h - (moved(h) - moved(-h)) / (2 * h)) / 3;
      CHECK(std::abs(slope - found[i]) <= 1e-7 * std::max(1.0, std::abs(slope)));
    }
    p.assign(Tensor::from(at, p.shape()));
  }
}

TEST_CASE("LoRA: the change is alpha / rank B A x, several sets stand upon one copy of the weights") {
  Adapted a(DType::f64, 3), other(DType::f64, 3);
  for (Param p : other.numbers) p.assign(p.value() * 2.0);
  nn::Adapters theirs(other.numbers / "unet", {.rank = 2, .alpha = 3, .targets = every});
  const Net net(Scope(a.base, "").with(theirs));
  const Tensor x = input(DType::f64), plain = nn::Linear(Scope(a.base, "attn") / "to_q", 6, 6, {.bias = false})(x);
  const Tensor own = a.net->to_q(x) - plain, change = net.to_q(x) - plain;
  const Tensor A = a.numbers["unet.attn.to_q.lora_A.weight"].value(), B = a.numbers["unet.attn.to_q.lora_B.weight"].value();
  CHECK(distance(own, 1.5 * matmul(matmul(x, transpose(A)), transpose(B))) <= 1e-12);
  CHECK(distance(change, own * 4.0) <= 1e-12);
  CHECK(net.to_q.weight.value().storage() == a.net->to_q.weight.value().storage());
}

TEST_CASE("LoRA: targets are ends of names; one that is no module's is an error with what there is") {
  Params base(Device::cpu(), Rng{1});
  const auto count = [&](std::vector<std::string> targets) {
    Params numbers_of(Device::cpu(), Rng{2});
    nn::Adapters adapters(numbers_of, {.rank = 1, .alpha = 1, .targets = std::move(targets)});
    Net(Scope(base, "").with(adapters));
    adapters.require_all_matched();
    return numbers_of.size();
  };
  CHECK(count({"attn.to_q"}) == 2);
  CHECK(count({"net.0.proj", "0"}) == 4);  // to_out.0
  check_error([&] { count({"to_q", "q"}); }, {"lora: no module has a name that ends in 'q'", "one of conv1, down, proj, to_out.0, to_q", "'q'"});
  check_error([&] { count({"attn"}); }, {"'attn'"});
  check_error([&] { count({}); }, {"lora: no low-rank change", "0 targets"});
  check_error([&] { nn::Adapters(base, {.rank = 0}); }, {"rank 0"});
  Params empty;  // no generator: nothing is made up
  check_error([&] { nn::Adapters adapters(empty, {}); Net(Scope(base, "").with(adapters)); }, {"a parameter is missing", "'attn.to_q.lora_A.weight' [4, 6]"});
}
