// LoRA training: gradients of adapters against peft and diffusers in double (tests/golden/make_lora_steps.py), the reference upon the
// same weights, and files of adapters.
#include <algorithm>
#include <functional>

#include "models/golden.hpp"
#include "sspo/models/lora.hpp"
#include "sspo/models/stable_diffusion.hpp"
#include "sspo/nn/lora.hpp"
#include "sspo/train/preference.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

const std::string pipeline = SSPO_SOURCE_DIR "/tests/golden/pipeline/model";

// Text, latents and times of a small UNet; its weights and adapters.
struct Small {
  UNetConfig config = load_unet_config(pipeline + "/unet/config.json");
  Params base, numbers;
  nn::LoraOptions options;
  std::optional<UNet> unet;
  Tensor x, t, text, cotangent;
  explicit Small(DType dtype, nn::LoraOptions o = {.rank = 2, .alpha = 3}, bool zero = false)
      : base(load_params<UNet>(config, pipeline + "/unet", {}, {.dtype = dtype})), options(std::move(o)),
        x(cast(normal_of("input.x", {2, 3, 2, 4}), dtype)), t(Tensor::from(std::vector<float>{7, 801.5f}, {2})), text(cast(normal_of("input.text", {2, 6, config.cross_attention_dim[0]}), dtype)),
        cotangent(cast(normal_of("cotangent.y", {2, 3, 2, 4}), dtype)) {
    Params made(Device::cpu(), Rng{3});
    nn::Adapters wanted(made / "unet", options);
    Params shapes = Params::shapes_only();
    UNet(Scope(shapes, "").with(wanted), config);
    for (const Param& p : made) numbers.add(p.name(), cast(!zero && p.name().ends_with("lora_B.weight") ? normal_of(p.name(), p.shape()) * 0.05 : p.value(), dtype));
    nn::Adapters adapters(numbers / "unet", options);
    unet.emplace(Scope(base.frozen(), "").with(adapters), config);
  }
  Tensor operator()(const UNet& net) const { return net(x, t, text); }
  Tensor loss() const { return sum((*this)(*unet) * cotangent); }
};

// --- runs of make_lora_steps.py

const GoldenJson& golden() {
  static const GoldenJson json = golden_file("lora_steps.json");
  return json;
}

PairBatch batch_of(const std::string& name, Index size, DType dtype) {
  const auto latents = [&](const char* part) { return cast(to_nhwc(normal_of(name + "." + part, {size, 4, 6, 5})), dtype); };
  PairBatch b{.latents_w = latents("latents_w"), .latents_r = latents("latents_r"), .noise_w = latents("noise_w"), .text = cast(normal_of(name + ".text", {size, 3, 12}), dtype)};
  for (const double u : uniform_of(name + ".timesteps", size)) b.timesteps.push_back(Index(500 * (u + 1)));
  return b;
}

// Relative to max(unit, |expected|).
void check_values(const std::vector<double>& got, const GoldenJson& expected, double tolerance, double unit = 1) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(got[i] - expected[i].get<double>()) <= tolerance * std::max(unit, std::abs(expected[i].get<double>())));
  }
}

struct GoldenRun {
  UNetConfig config = read_unet_config(golden().at("config").dump(), {.path = "lora_steps.json"});
  nn::LoraOptions options;
  Params base, numbers;
  std::optional<UNet> policy, reference;
  GoldenRun(const GoldenJson& run, DType dtype) : options{.rank = run.at("rank"), .alpha = run.at("alpha"), .targets = run.at("targets")} {
    Params wanted = Params::shapes_only();
    UNet(wanted, config);
    const auto add = [&](Params& to, const std::string& name, const Tensor& w) { to.add(name, w.rank() == 4 ? to_nhwc(w) : w); };
    for (const Param& p : wanted) add(base, p.name(), weight_of(p.name(), stored_shape(p.shape())));
    for (const auto& [name, shape] : run.at("adapters").items()) {
      std::vector<float> w = weight_of(name, shape_of(shape)).to_vector<float>();
      if (name.find(".lora_B.") != std::string::npos)
        for (float& v : w) v = float(double(v) / 20);
      add(numbers, name, Tensor::from(w, shape_of(shape)));
    }
    nn::Adapters adapters(numbers / "unet", options);
    policy.emplace(Scope(base.frozen(), "").with(adapters), config);
    reference.emplace(base, config);
    base.compute_in(dtype), numbers.compute_in(dtype);
  }
};

void check_run(const GoldenJson& run, DType dtype, double tolerance) {
  CAPTURE(run.at("name").get<std::string>());
  CAPTURE(run.at("objective").get<std::string>());
  const GoldenRun m(run, dtype);
  GradientOptions o;
  o.dtype = dtype;
  const ObjectiveOptions weights{.kappa = run.at("beta").get<double>() / 2, .eta = run.at("eta")};
  SchedulerConfig c = default_config(SchedulerKind::ddpm);
  c.beta_start = 0.00085, c.beta_end = 0.012, c.beta_schedule = BetaSchedule::scaled_linear;
  const PairGradients r = pair_gradients(std::cref(*m.policy), std::cref(*m.reference), batch_of(run.at("name"), run.at("size"), dtype), NoiseSchedule(c), objective_named(run.at("objective").get<std::string>()), weights, o);
  const double scaled = tolerance * std::max(1.0, weights.kappa / 25), norm = run.at("grad_norm");
  const GoldenJson& v = run.at("values");
  check_values(numbers(r.errors.theta_w), v.at("a_tw"), tolerance);
  check_values(numbers(r.errors.ref_w), v.at("a_rw"), tolerance);
  check_values(numbers(r.terms.d_w), v.at("d_w"), tolerance);
  check_values(numbers(r.terms.d_r), v.at("d_r"), tolerance);
  check_values(numbers(r.terms.s), v.at("s"), 0);
  check_values(numbers(r.terms.loss_i), v.at("loss_i"), scaled);
  CHECK(r.gradients.size() == m.numbers.size());
  for (const Param& p : m.base) CHECK(p.gradient(r.gradients) == nullptr);
  std::size_t i = 0;
  for (const auto& adapter : run.at("adapters").items()) {
    const std::string& name = adapter.key();
    CAPTURE(name);
    const Tensor* own = m.numbers[name].gradient(r.gradients);
    REQUIRE(own);
    std::vector<double> got = projections(name, to_checkpoint(*own));
    const auto values = numbers(*own);
    got.push_back(std::abs(*std::max_element(values.begin(), values.end(), [](double a, double b) { return std::abs(a) < std::abs(b); })));
    check_values(got, run.at("gradients")[i++], scaled, std::max(1.0, norm / 10));
  }
}

}  // namespace

TEST_CASE("LoRA: a step's errors and gradients of A and B equal peft's within 1e-5 in f32, 1e-7 in f64") {
  for (const GoldenJson& run : golden().at("runs")) {
    check_run(run, DType::f32, 1e-5);
    check_run(run, DType::f64, 1e-7);
  }
}

TEST_CASE("LoRA: exported files have diffusers' names and shapes") {
  const TempFolder folder(TempFolder::in_memory);
  for (const GoldenJson& run : golden().at("runs")) {
    const GoldenRun m(run, DType::f32);
    save_adapters(folder.path(), m.numbers, m.options);
    const io::Weights file = io::open_weights(folder / adapters_file);
    CHECK(file.names().size() == run.at("adapters").size());
    for (const auto& adapter : run.at("adapters").items()) {
      const std::string& name = adapter.key();
      CAPTURE(name);
      REQUIRE(file.has(name));
      CHECK(file.find(name)->shape == adapter.value().get<std::vector<std::uint64_t>>());
      CHECK(same_bits(file.load(name), to_checkpoint(m.numbers[name].value())));
    }
  }
}

TEST_CASE("LoRA: through a UNet in double, each adapter's derivative along a random direction within 1e-6; frozen weights have none") {
  Small s(DType::f64, {.rank = 2, .alpha = 3, .targets = {"to_q", "to_k", "to_v", "to_out.0", "conv1", "ff.net.0.proj", "time_emb_proj"}});
  const Gradients g = backward(s.loss());
  CHECK(g.size() == s.numbers.size());
  CHECK(s.numbers.size() >= 40);
  for (const Param& p : s.base) CHECK(p.gradient(g) == nullptr);
  for (Param p : s.numbers) {
    CAPTURE(p.name());
    const Tensor* own = p.gradient(g);
    REQUIRE(own);
    const Tensor at = p.value() + 0.0, v = cast(normal_of("direction." + p.name(), p.shape()), DType::f64);
    const auto central = [&](double h) {
      p.assign(at + v * h);
      const double up = s.loss().item<double>();
      p.assign(at - v * h);
      return (up - s.loss().item<double>()) / (2 * h);
    };
    const double h = 1e-4, slope = (4 * central(h / 2) - central(h)) / 3, found = sum(*own * v).item<double>();
    CHECK(std::abs(slope - found) <= 1e-6 * std::max(std::abs(slope), 0.1));
    p.assign(at);
  }
}

TEST_CASE("LoRA: recomputed block by block, gradients have the same bits") {
  Small s(DType::f32);
  const Gradients plain = backward(s.loss());
  s.unet->recompute_blocks(true);
  const Gradients again = backward(s.loss());
  REQUIRE(plain.size() == again.size());
  for (const Param& p : s.numbers) CHECK(same_bits(*p.gradient(plain), *p.gradient(again)));
}

TEST_CASE("LoRA: a file of adapters is read back to the bit, changes a model as merging does, and is held to its shapes") {
  const TempFolder folder(TempFolder::in_memory);
  const nn::LoraOptions options{.rank = 3, .alpha = 4.5, .targets = {"to_q", "to_out.0", "conv2", "proj_in"}};
  Small s(DType::f32, options);
  save_adapters(folder.path(), s.numbers, options, {{"base", "1234"}});
  const Lora lora = open_lora(folder / adapters_file);
  CHECK(lora.layout == LoraLayout::diffusers);
  CHECK(lora.unknown.empty());
  CHECK(lora.modules.size() == s.numbers.size() / 2);
  for (const LoraModule& m : lora.modules) {
    CHECK(m.alpha == 4.5);
    CHECK(m.rank == 3);
  }

  Params wanted = Params::shapes_only();
  for (const Param& p : s.numbers) wanted.get(p.name(), p.shape(), {});
  const Params back = load_adapters(folder.path(), wanted);
  for (const Param& p : s.numbers) CHECK(same_bits(p.value(), back[p.name()].value()));

  Params merged = load_params<UNet>(s.config, pipeline + "/unet");
  LoraChange change;
  add_lora(lora, 1, LoraPart::unet, merged, change);
  CHECK(change.tensors == lora.modules.size());
  const Tensor apart = s(*s.unet), whole = s(UNet(merged.frozen(), s.config)), without = s(UNet(s.base, s.config));
  CHECK(distance(apart, whole) <= 2e-5);
  CHECK(distance(apart, without) >= 1e-2);

  wanted.get("unet.conv_in.lora_A.weight", {3, 3, 3, 4}, {});
  check_error([&] { load_adapters(folder.path(), wanted); }, {"1 missing: 'unet.conv_in.lora_A.weight'"});
}

TEST_CASE("LoRA: with B zero the policy is the reference to the bit, in f32 and bf16") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Small s(dtype, {.rank = 2, .alpha = 3}, true);
    Params reference = s.numbers.snapshot();
    nn::Adapters adapters(reference.frozen() / "unet", s.options);
    const UNet ref(Scope(s.base, "").with(adapters), s.config);
    CHECK(same_bits(s(*s.unet), s(ref)));
    CHECK(same_bits(s(*s.unet), s(UNet(s.base, s.config))));  // and the weights alone: to_q and its kin have no activation
  }
}
