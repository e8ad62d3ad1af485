// Training steps against PyTorch and diffusers in double (tests/golden/make_steps.py): errors, signs, losses, gradients of every
// objective and gate, and ten chained AdamW steps.
#include "models/golden.hpp"
#include "sspo/train/preference.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

const GoldenJson& golden() {
  static const GoldenJson json = golden_file("steps/steps.json");
  return json;
}

const UNetConfig& config() {
  static const UNetConfig c = read_unet_config(golden().at("config").dump(), {.path = "steps.json"});
  return c;
}

// In the checkpoint's order the policy is reference (1 + away u), rounded to f32.
Tensor policy_weight(const std::string& name, const Shape& shape, double away) {
  std::vector<float> w = weight_of(name, shape).to_vector<float>();
  const std::vector<double> u = uniform_of("policy3." + name, shape.numel());
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = float(double(w[i]) * (1 + away * u[i]));
  return Tensor::from(w, shape);
}

Params params_of(bool policy, double away, const Device& device = Device::cpu()) {
  Params wanted = Params::shapes_only(), params(device);
  UNet(wanted, config());
  for (const Param& p : wanted) {
    const Shape stored = stored_shape(p.shape());
    const Tensor w = policy ? policy_weight(p.name(), stored, away) : weight_of(p.name(), stored);
    params.add(p.name(), stored.rank() == 4 ? contiguous(permute(w, {0, 2, 3, 1})) : w);
  }
  if (!policy) params.frozen();
  return params;
}

PairBatch batch_of(const std::string& name, Index size, bool own_noise) {
  const auto latents = [&](const char* part) { return to_nhwc(normal_of(name + "." + part, {size, 4, 6, 5})); };
  PairBatch b{.latents_w = latents("latents_w"), .latents_r = latents("latents_r"), .noise_w = latents("noise_w"), .text = normal_of(name + ".text", {size, 3, 12})};
  if (own_noise) b.noise_r = latents("noise_r");
  for (const double u : uniform_of(name + ".timesteps", size)) b.timesteps.push_back(Index(500 * (u + 1)));
  return b;
}

NoiseSchedule sd15_schedule() {
  SchedulerConfig c = default_config(SchedulerKind::ddpm);
  c.beta_start = 0.00085, c.beta_end = 0.012, c.beta_schedule = BetaSchedule::scaled_linear;
  return NoiseSchedule(c);
}

StepOptions options_of(const GoldenJson& run, DType dtype, Index micro_batch) {
  const std::string gate = run.at("gate");
  StepOptions o;
  o.dtype = dtype, o.micro_batch = micro_batch;
  o.weights = {.kappa = run.at("beta").get<double>() / 2, .eta = run.at("eta"),
               .gate = gate_named(gate == "plus" ? "sign" : gate, gate == "plus" ? gates::Tie::plus : gates::Tie::zero, Rng{run.at("seed").get<std::uint64_t>()} / "gate")};
  return o;
}

std::vector<Param> by_name(const Params& params) {
  std::vector<Param> sorted(params.begin(), params.end());
  std::sort(sorted.begin(), sorted.end(), [](const Param& a, const Param& b) { return a.name() < b.name(); });
  return sorted;
}

// Relative to max(unit, |expected|).
void check_values(const std::vector<double>& got, const GoldenJson& expected, double tolerance, double unit = 1) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CAPTURE(got[i]);
    CAPTURE(expected[i].get<double>());
    CHECK(std::abs(got[i] - expected[i].get<double>()) <= tolerance * std::max(unit, std::abs(expected[i].get<double>())));
  }
}

void check_run(const GoldenJson& run, DType dtype, Index micro_batch, double tolerance) {
  CAPTURE(run.at("name").get<std::string>());
  CAPTURE(run.at("objective").get<std::string>());
  CAPTURE(run.at("gate").get<std::string>());
  Params policy = params_of(true, run.at("away")), reference = params_of(false, 0);
  policy.compute_in(dtype), reference.compute_in(dtype);
  PairBatch b = batch_of(run.at("name"), run.at("size"), run.at("own_noise"));
  if (dtype == DType::f64)
    for (Tensor* x : {&b.latents_w, &b.latents_r, &b.noise_w, &b.noise_r, &b.text})
      if (x->defined()) *x = cast(*x, DType::f64);
  const StepOptions o = options_of(run, dtype, micro_batch);
  const PairGradients r = pair_gradients(UNet(policy, config()), UNet(reference, config()), b, sd15_schedule(),
                                         objective_named(run.at("objective").get<std::string>()), o.weights, o);
  // kappa magnifies the rounding of errors, which are near 1.
  const double scaled = tolerance * std::max(1.0, o.weights.kappa / 25);
  const GoldenJson& v = run.at("values");
  check_values(numbers(r.errors.theta_w), v.at("a_tw"), tolerance);
  check_values(numbers(r.errors.ref_w), v.at("a_rw"), tolerance);
  check_values(numbers(r.errors.theta_r), v.at("a_tr"), tolerance);
  check_values(numbers(r.errors.ref_r), v.at("a_rr"), tolerance);
  check_values(numbers(r.terms.d_w), v.at("d_w"), tolerance);
  check_values(numbers(r.terms.d_r), v.at("d_r"), tolerance);
  check_values(numbers(r.terms.s), v.at("s"), 0);
  check_values(numbers(r.terms.z), v.at("z"), scaled);
  check_values(numbers(r.terms.loss_i), v.at("loss_i"), scaled);
  check_values(numbers(r.terms.loss), GoldenJson::array({run.at("loss")}), scaled);
  const double norm = run.at("grad_norm");
  check_values({global_norm(r.gradients)}, GoldenJson::array({norm}), scaled);

  const std::vector<Param> params = by_name(policy);
  REQUIRE(params.size() == run.at("gradients").size());
  for (std::size_t i = 0; i < params.size(); ++i) {
    CAPTURE(params[i].name());
    const Tensor* own = params[i].gradient(r.gradients);
    REQUIRE(own);
    std::vector<double> got = projections(params[i].name(), to_checkpoint(*own));
    const auto values = numbers(*own);
    got.push_back(std::abs(*std::max_element(values.begin(), values.end(), [](double a, double b) { return std::abs(a) < std::abs(b); })));
    // Unit scale: the gradient's own, of which a tensor's norm is a share.
    check_values(got, run.at("gradients")[i], scaled, std::max(1.0, norm / 10));
  }
}

struct Chain {
  std::vector<double> losses, norms;
  Params policy;
};

Chain run_chain(const GoldenJson& run, DType dtype, Index micro_batch, const Device& device = Device::cpu()) {
  Chain c{{}, {}, params_of(true, 0.01, device)};
  Params reference = params_of(false, 0, device);
  c.policy.compute_in(dtype), reference.compute_in(dtype);
  AdamW adamw(c.policy, {.lr = run.at("lr"), .weight_decay = run.at("weight_decay")});
  StepOptions o = options_of(run, dtype, micro_batch);
  o.clip_norm = run.at("clip_norm");
  for (int u = 0; u < run.at("steps").get<int>(); ++u) {
    PairBatch b = batch_of(run.at("name").get<std::string>() + "." + std::to_string(u), run.at("size"), false);
    for (Tensor* x : {&b.latents_w, &b.latents_r, &b.noise_w, &b.text}) *x = Tensor::from(x->to_vector<float>(), x->shape(), device);
    const StepReport r = preference_step(adamw, UNet(c.policy, config()), UNet(reference, config()), b, sd15_schedule(),
                                         objective_named(run.at("objective").get<std::string>()), o);
    c.losses.push_back(r.terms.loss.item<double>());
    c.norms.push_back(r.grad_norm);
  }
  return c;
}

}  // namespace

TEST_CASE("steps: every objective and gate equals PyTorch's within 1e-5 at unit scale, in f32") {
  for (const GoldenJson& run : golden().at("runs"))
    check_run(run, DType::f32, run.at("gate") == "random" ? 0 : 4, 1e-5);
}

TEST_CASE("steps: the same within 1e-6 computed in f64; gradients come back as f32") {
  for (const GoldenJson& run : golden().at("runs"))
    if (run.at("name") != "batch" || run.at("objective") == "sspo" || run.at("objective") == "asft") check_run(run, DType::f64, 0, 1e-6);
}

TEST_CASE("steps: both signs occur in the golden batches") {
  int plus = 0, minus = 0;
  for (const GoldenJson& run : golden().at("runs"))
    if (run.at("gate") == "sign")
      for (const double s : run.at("values").at("s")) plus += s > 0, minus += s < 0;
  CHECK(plus >= 5);
  CHECK(minus >= 5);
}

TEST_CASE("steps: ten chained AdamW steps, clipped, in micro-batches: losses within 1e-5 (SSPO's: 3e-4), parameters within 1e-4") {
  for (const GoldenJson& run : golden().at("chains")) {
    CAPTURE(run.at("name").get<std::string>());
    const Chain c = run_chain(run, DType::f32, 2);
    // kappa magnifies what ten steps of rounding did to the errors.
    const bool preference = run.at("objective") == "sspo";
    check_values(c.losses, run.at("losses"), preference ? 3e-4 : 1e-5);
    check_values(c.norms, run.at("grad_norms"), preference ? 2e-3 : 1e-4);
    const std::vector<Param> params = by_name(c.policy);
    REQUIRE(params.size() == run.at("parameters").size());
    for (std::size_t i = 0; i < params.size(); ++i) {
      CAPTURE(params[i].name());
      check_values(projections(params[i].name(), to_checkpoint(params[i].value())), run.at("parameters")[i], 1e-4);
    }
  }
}

TEST_CASE("steps: a chain has equal bits for 1, 2 and 3 threads") {
  const GoldenJson run = [] {
    GoldenJson short_run = golden().at("chains")[0];
    short_run["steps"] = 3;
    return short_run;
  }();
  const Chain one = run_chain(run, DType::f32, 2, Device::cpu({.threads = 1}));
  for (const int threads : {2, 3}) {
    const Chain other = run_chain(run, DType::f32, 2, Device::cpu({.threads = threads}));
    CHECK(other.losses == one.losses);
    for (const Param& p : one.policy) CHECK(same_bits(p.value(), other.policy[p.name()].value()));
  }
}

TEST_CASE("steps: bf16 arithmetic on f32 masters stays near") {
  const GoldenJson& run = golden().at("chains")[1];
  const Chain c = run_chain(run, DType::bf16, 0);
  check_values(c.losses, run.at("losses"), 0.02);
  const Params start = params_of(true, 0.01);
  double off = 0, way = 0;  // of all parameters: what PyTorch's projections moved, and how far ours are from there
  const std::vector<Param> params = by_name(c.policy);
  for (std::size_t i = 0; i < params.size(); ++i) {
    CHECK(params[i].value().dtype() == DType::f32);
    const auto got = projections(params[i].name(), to_checkpoint(params[i].value())), before = projections(params[i].name(), to_checkpoint(start[params[i].name()].value()));
    for (std::size_t k = 0; k < 4; ++k) {
      const double expected = run.at("parameters")[i][k];
      off += (got[k] - expected) * (got[k] - expected);
      way += (before[k] - expected) * (before[k] - expected);
    }
  }
  CHECK(off <= 0.05 * way);
}
