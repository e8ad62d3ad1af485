#include "sspo/diffusion/schedule.hpp"

#include <cmath>

#include "diffusion/golden.hpp"
#include "sspo/diffusion/guidance.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

SchedulerConfig read(std::string_view text, std::optional<SchedulerKind> kind = {}) { return read_scheduler_config(text, {.path = "scheduler_config.json"}, kind); }

}  // namespace

TEST_CASE("noise schedules equal diffusers' to the bit; noisy samples and velocities follow") {
  for (const GoldenJson& entry : golden().at("tables")) {
    INFO(config_text(entry));
    const SchedulerConfig c = config_of(entry, SchedulerKind::ddpm);
    const NoiseSchedule schedule(c);
    if (!c.rescale_betas_zero_snr) CHECK(fnv(schedule.alphas_cumprod()) == std::strtoull(entry.at("hash").get<std::string>().c_str(), nullptr, 16));
    std::vector<Index> t;
    for (const GoldenJson& value : entry.at("values")) {
      t.push_back(value.at(0));
      CHECK(schedule.alphas_cumprod()[std::size_t(t.back())] == doctest::Approx(value.at(1).get<double>()).epsilon(1e-6));
    }
    const Tensor x_0 = Tensor::from(numbers_from(0, 12), {3, 2, 2}), eps = Tensor::from(numbers_from(50, 12), {3, 2, 2});
    CHECK(distance(schedule.add_noise(x_0, eps, t), Tensor::from(entry.at("noisy").get<std::vector<float>>(), {3, 2, 2})) < 2.5e-7);
    CHECK(distance(schedule.velocity(x_0, eps, t), Tensor::from(entry.at("velocity").get<std::vector<float>>(), {3, 2, 2})) < 2.5e-7);
  }
}

TEST_CASE("noise schedules: identities, other dtypes, errors") {
  const NoiseSchedule s(default_config(SchedulerKind::ddpm));
  CHECK(s.size() == 1000);
  for (const Index t : {0, 500, 999}) CHECK(s.snr(t) == doctest::Approx(s.alphas_cumprod()[std::size_t(t)] / (1 - double(s.alphas_cumprod()[std::size_t(t)]))));
  CHECK(s.snr(0) > s.snr(999));
  const std::vector<Index> t = {3, 700};
  const Tensor x_0 = cast(Tensor::from(numbers_from(0, 8), {2, 2, 1, 2}), DType::f64), eps = cast(Tensor::from(numbers_from(9, 8), {2, 2, 1, 2}), DType::f64);
  const Tensor x_t = s.add_noise(x_0, eps, t), v = s.velocity(x_0, eps, t);
  CHECK(x_t.dtype() == DType::f64);
  // x_t and v are x_0 and eps turned by an angle: lengths stay.
  CHECK(distance(square(x_t) + square(v), square(x_0) + square(eps)) < 1e-14);
  CHECK(s.add_noise(cast(x_0, DType::bf16), cast(eps, DType::bf16), t).dtype() == DType::bf16);
  check_error([&] { s.add_noise(x_0, eps, std::vector<Index>{1, 1000}); }, {"no such timestep", "0 ... 999", "1000"});
  check_error([&] { s.add_noise(x_0, eps, std::vector<Index>{1}); }, {"1 timesteps", "[2, 2, 1, 2] f64"});
  check_error([&] { s.velocity(x_0, zeros({2, 4}, DType::f64), t); }, {"[2, 4] f64"});
  check_error([&] { s.snr(-1); }, {"-1"});
  SchedulerConfig c;
  c.trained_betas = {0.1, 0.2};
  check_error([&] { NoiseSchedule{c}; }, {"trained_betas", "1000 betas", "2"});
  c = {};
  c.beta_end = 1.5;
  check_error([&] { NoiseSchedule{c}; }, {"beta_end in [0, 1]", "1.5"});
  c.num_train_timesteps = 100001;
  check_error([&] { NoiseSchedule{c}; }, {"2 ... 100000"});
}

TEST_CASE("scheduler_config.json: Stable Diffusion 1.5's own, for each scheduler") {
  const std::string text = config_text(golden().at("plans").at(0));
  CHECK(read(text).kind == SchedulerKind::pndm);
  for (const char* name : {"ddpm", "ddim", "pndm", "euler", "euler_ancestral", "dpmpp_2m"}) {
    const SchedulerConfig c = read(text, scheduler_kind(name));
    CHECK(name_of(c.kind) == name);
    CHECK(c.beta_schedule == BetaSchedule::scaled_linear);
    CHECK(c.beta_start == 0.00085);
    CHECK(c.steps_offset == 1);
    // The file is silent about the spacing: each class has its own.
    CHECK(c.timestep_spacing == (c.kind >= SchedulerKind::euler ? Spacing::linspace : Spacing::leading));
  }
  CHECK_FALSE(read(text, SchedulerKind::ddim).clip_sample);
  CHECK_FALSE(read(text, SchedulerKind::ddim).set_alpha_to_one);
  CHECK(read("{}", SchedulerKind::ddim).set_alpha_to_one);
  CHECK_FALSE(read("{}", SchedulerKind::pndm).set_alpha_to_one);
}

TEST_CASE("scheduler_config.json: written and read again it is the same") {
  int configs = 0;
  for (const char* part : {"plans", "runs"})
    for (const GoldenJson& entry : golden().at(part)) {
      const SchedulerConfig c = config_of(entry);
      const std::string once = write_scheduler_config(c);
      const SchedulerConfig again = read(once);  // the kind from _class_name
      CHECK(again.kind == c.kind);
      CHECK(write_scheduler_config(again) == once);
      if (c.num_train_timesteps > 10) CHECK(fnv(plan_steps(again, 10).timesteps) == fnv(plan_steps(c, 10).timesteps));
      ++configs;
    }
  CHECK(configs > 100);
}

TEST_CASE("scheduler_config.json: what is wrong is named") {
  const auto wrong = [](const char* json, const char* kind, std::initializer_list<const char*> parts) {
    INFO(std::string(json));
    check_error([&] { read(json, scheduler_kind(kind)); }, {"scheduler_config.json"});
    check_error([&] { read(json, scheduler_kind(kind)); }, parts);
  };
  wrong(R"({"num_train_timesteps": 100001})", "ddim", {"num_train_timesteps", "100000", "100001"});
  wrong(R"({"num_train_timesteps": 1})", "ddim", {"num_train_timesteps", "1"});
  wrong(R"({"num_train_timesteps": "many"})", "ddim", {"num_train_timesteps"});
  wrong(R"({"beta_start": -0.1})", "ddim", {"beta_start"});
  wrong(R"({"beta_schedule": "sigmoid"})", "ddpm", {"beta_schedule", "squaredcos_cap_v2", "sigmoid"});
  wrong(R"({"prediction_type": "flow_prediction"})", "dpmpp_2m", {"prediction_type", "v_prediction", "flow_prediction"});
  wrong(R"({"prediction_type": "sample"})", "pndm", {"prediction_type", "epsilon"});
  wrong(R"({"timestep_spacing": 3})", "pndm", {"timestep_spacing"});
  wrong(R"({"steps_offset": 1.5})", "pndm", {"steps_offset"});
  wrong(R"({"clip_sample": "yes"})", "ddim", {"clip_sample"});
  wrong(R"({"variance_type": "learned_range"})", "ddpm", {"variance_type", "fixed_small", "learned_range"});
  wrong(R"({"variance_type": "learned"})", "dpmpp_2m", {"variance_type", "not supported", "learned"});
  wrong(R"({"use_beta_sigmas": true})", "euler", {"use_beta_sigmas", "not supported", "false", "true"});
  wrong(R"({"use_lu_lambdas": true})", "dpmpp_2m", {"use_lu_lambdas", "not supported"});
  wrong(R"({"use_flow_sigmas": true})", "dpmpp_2m", {"use_flow_sigmas"});
  wrong(R"({"timestep_type": "continuous"})", "euler", {"timestep_type", "discrete", "continuous"});
  wrong(R"({"algorithm_type": "dpmsolver"})", "dpmpp_2m", {"algorithm_type", "dpmsolver++", "sde-dpmsolver++"});
  wrong(R"({"solver_order": 4})", "dpmpp_2m", {"solver_order", "4"});
  wrong(R"({"use_karras_sigmas": true, "use_exponential_sigmas": true})", "euler", {"use_exponential_sigmas", "only one"});
  wrong(R"({"trained_betas": [0.1, 0.2]})", "ddim", {"trained_betas", "1000", "2"});
  wrong(R"({"trained_betas": [0.1, "x"], "num_train_timesteps": 2})", "ddim", {"trained_betas"});
  wrong(R"([1])", "ddim", {"object"});
  wrong(R"({"beta_end": 0.02)", "ddim", {"ends too early"});
  wrong(R"({"beta_end": Infinity})", "ddim", {"not JSON"});
  wrong(R"({"beta_end": 0.02, "beta_end": 0.03})", "ddim", {"beta_end"});
  check_error([] { read(R"({"_class_name": "LCMScheduler"})"); }, {"_class_name", "DDIMScheduler", "LCMScheduler"});
  check_error([] { read("{}"); }, {"_class_name"});
}

TEST_CASE("scheduler_config.json: what is accepted") {
  CHECK(read(R"({"use_beta_sigmas": true, "solver_order": 9})", SchedulerKind::ddim).kind == SchedulerKind::ddim);  // not DDIM's fields
  CHECK(read(R"({"use_beta_sigmas": false, "timestep_type": "discrete"})", SchedulerKind::euler).kind == SchedulerKind::euler);
  const SchedulerConfig c = read(R"({"_class_name": "DPMSolverMultistepScheduler", "note": "a \"-Infinity\" quoted", "lambda_min_clipped": -Infinity, "variance_type": null})");
  CHECK_FALSE(c.lambda_min_clipped);
  CHECK(read(R"({"lambda_min_clipped": -5.1})", SchedulerKind::dpmpp_2m).lambda_min_clipped == -5.1);
  CHECK(read(R"({"solver_type": "bh2"})", SchedulerKind::dpmpp_2m).solver_type == Solver::midpoint);
}

TEST_CASE("guidance: weights 0, 1 and beyond; the rescaled result has the conditional's deviation") {
  const Tensor u = Tensor::from(numbers_from(0, 12), {2, 2, 3}), c = Tensor::from(numbers_from(40, 12), {2, 2, 3});
  CHECK(same_bits(guided(u, c, 0), u));
  CHECK(distance(guided(u, c, 1), c) < 2e-7);
  CHECK(distance(guided(u, c, 7.5), 7.5 * c - 6.5 * u) < 2e-6);
  const Tensor g = guided(u, c, 7.5);
  CHECK(distance(rescale_guided(g, c, 0), g) < 1e-6);
  CHECK(distance(var(rescale_guided(g, c, 1), {1, 2}), var(c, {1, 2})) < 1e-6);
  CHECK(distance(rescale_guided(g, c, 0.7), 0.7 * rescale_guided(g, c, 1) + 0.3 * g) < 2e-6);
  check_error([&] { rescale_guided(g, c, 2); }, {"phi in [0, 1]"});
  check_error([&] { rescale_guided(g, zeros({2, 3}), 0.5); }, {"[2, 3] f32"});
}
