#include "sspo/diffusion/scheduler.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "diffusion/golden.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

float sigma_sum(const StepPlan& plan) {
  double sum = double(plan.init_noise_sigma);
  for (std::size_t i = 0; i < plan.sigmas.size(); ++i) sum += double(plan.sigmas[i]) * (1 + double(i * 7919 % 13) / 13);
  return float(sum);
}

// Rescaled betas are differences of square roots, so one unit in the last place of a root grows.
double sigma_tolerance(const SchedulerConfig& c) { return c.rescale_betas_zero_snr ? 2e-5 : 1.2e-7; }

bool continuous_timesteps(const SchedulerConfig& c) {
  return c.kind == SchedulerKind::euler && (c.use_karras_sigmas || c.use_exponential_sigmas);
}

double relative(double a, double b) { return std::abs(a - b) / std::max(std::abs(b), 1e-30); }

struct Trajectory {
  std::vector<double> norms;
  Tensor x;
};

// make_schedulers.py's run: a linear model, hashed numbers for x, the model's constant and the noise.
Trajectory trajectory(Scheduler& s) {
  const Shape shape{2, 2, 3, 2};
  const auto tensor = [&](std::uint32_t first) { return Tensor::from(numbers_from(first, 24), shape); };
  Trajectory y{{}, tensor(0) * double(s.init_noise_sigma())};
  for (Index i = 0; i < s.calls(); ++i) {
    const double t = double(s.timesteps()[std::size_t(i)]);
    const Tensor out = 0.75 * s.scale_model_input(y.x, i) + 0.25 * (t / 1000) * tensor(1000);
    y.x = s.step(out, i, y.x, s.draws(i) ? tensor(std::uint32_t(2000 + 100 * i)) : Tensor{});
    double norm = 0;
    for (const double v : numbers(y.x)) norm += std::abs(v);
    y.norms.push_back(norm);
  }
  return y;
}

SchedulerConfig sd15(SchedulerKind kind) { return config_of(golden().at("plans").at(0), kind); }

}  // namespace

TEST_CASE("timesteps equal diffusers' for every number of steps; sigmas to a unit in the last place") {
  int plans = 0, refused = 0, off_by_rounding = 0;
  for (const GoldenJson& entry : golden().at("plans")) {
    const SchedulerConfig c = config_of(entry);
    const std::string hashes = entry.at("timesteps"), sums = entry.at("sigmas");
    INFO(name_of(c.kind) << " " << config_text(entry));
    REQUIRE(Index(hashes.size()) == 5 * c.num_train_timesteps);
    for (Index steps = 1; steps <= c.num_train_timesteps; ++steps) {
      INFO(steps << " steps");
      const std::string hash = hashes.substr(std::size_t(5 * (steps - 1)), 5);
      if (hash == ".....") {
        check_error([&] { plan_steps(c, steps); }, {"steps"});
        ++refused;
        continue;
      }
      const StepPlan plan = plan_steps(c, steps);
      if ((fnv(plan.timesteps) & 0xfffff) != std::strtoull(hash.c_str(), nullptr, 16)) {
        // Fractional timesteps follow from logarithms that numpy rounds its own way; DPM-Solver rounds such to integers.
        const bool karras = c.use_karras_sigmas && (c.kind == SchedulerKind::euler || c.kind == SchedulerKind::dpmpp_2m);
        CHECK(karras);
        if (c.kind == SchedulerKind::dpmpp_2m) ++off_by_rounding;
      }
      REQUIRE(plan.sigmas.empty() == sums.empty());
      if (!sums.empty()) {
        const float sum = std::bit_cast<float>(std::uint32_t(std::strtoul(sums.substr(std::size_t(8 * (steps - 1)), 8).c_str(), nullptr, 16)));
        CHECK(relative(sigma_sum(plan), sum) < sigma_tolerance(c) + 1.2e-7);
      }
      ++plans;
    }
  }
  CHECK(plans > 15000);
  CHECK(refused == 3);  // pndm with Runge-Kutta steps: 1, 2, 3
  MESSAGE(plans << " plans; " << off_by_rounding << " of DPM-Solver's Karras plans differ in a rounded timestep");
  CHECK(off_by_rounding <= 3);
}

TEST_CASE("trajectories equal diffusers' with a linear model") {
  double worst_of_all = 0;
  int runs = 0, within_1e6 = 0;
  for (const GoldenJson& entry : golden().at("runs")) {
    const SchedulerConfig c = config_of(entry);
    INFO(name_of(c.kind) << " " << config_text(entry) << " steps " << entry.at("steps").dump());
    Scheduler s = make_scheduler(c, entry.at("steps").get<Index>(), {.eta = entry.at("eta").get<double>()});
    const std::vector<float> timesteps = entry.at("timesteps"), sigmas = entry.at("sigmas");
    REQUIRE(s.timesteps().size() == timesteps.size());
    for (std::size_t i = 0; i < timesteps.size(); ++i)
      CHECK(std::abs(s.timesteps()[i] - timesteps[i]) <= (continuous_timesteps(c) ? 6.2e-5f : 0.0f));
    REQUIRE(s.sigmas().size() == sigmas.size());
    for (std::size_t i = 0; i < sigmas.size(); ++i) CHECK(std::abs(s.sigmas()[i] - sigmas[i]) <= sigma_tolerance(c) * double(sigmas[i]));

    const Trajectory ours = trajectory(s);
    const std::vector<double> norms = entry.at("norms"), last = entry.at("last");
    REQUIRE(ours.norms.size() == norms.size());
    double worst = 0, scale = 0;
    for (std::size_t i = 0; i < norms.size(); ++i) worst = std::max(worst, relative(ours.norms[i], norms[i]));
    for (const double v : last) scale = std::max(scale, std::abs(v));
    const std::vector<double> x = numbers(ours.x);
    for (std::size_t i = 0; i < last.size(); ++i) worst = std::max(worst, std::abs(x[i] - last[i]) / scale);
    CHECK(worst <= (c.rescale_betas_zero_snr ? 3e-5 : 1e-5));
    worst_of_all = std::max(worst_of_all, worst);
    within_1e6 += worst <= 1e-6;
    ++runs;

    const Trajectory again = trajectory(s);  // step 0 starts anew
    CHECK(same_bits(again.x, ours.x));
  }
  MESSAGE(runs << " runs, " << within_1e6 << " within 1e-6, worst " << worst_of_all);
  CHECK(runs > 90);
  CHECK(within_1e6 > runs * 3 / 4);
}

TEST_CASE("a copy of a scheduler goes on alone") {
  for (const SchedulerKind kind : {SchedulerKind::pndm, SchedulerKind::dpmpp_2m}) {
    Scheduler a = make_scheduler(sd15(kind), 6);
    const Tensor x = Tensor::from(numbers_from(0, 8), {2, 4}), out = 0.5 * x;
    Tensor y = x;
    for (Index i = 0; i < 3; ++i) y = a.step(out, i, y);
    Scheduler b = a;
    const Tensor from_a = a.step(out * 2.0, 3, y), from_b = b.step(out, 3, y);
    CHECK_FALSE(same_bits(from_a, from_b));
    CHECK(same_bits(b.step(out, 4, from_b), a.step(out * 2.0, 4, from_a)) == false);
    Scheduler c = make_scheduler(sd15(kind), 6);  // the copy's path, walked by one alone
    y = x;
    for (Index i = 0; i < 4; ++i) y = c.step(out, i, y);
    CHECK(same_bits(y, from_b));
  }
}

TEST_CASE("which steps draw noise") {
  SchedulerConfig ddpm = sd15(SchedulerKind::ddpm);
  CHECK(make_scheduler(ddpm, 4).draws(3));  // offset 1: the last timestep is 1
  ddpm.steps_offset = 0;
  const Scheduler s = make_scheduler(ddpm, 4);
  CHECK(s.draws(2));
  CHECK_FALSE(s.draws(3));
  CHECK_FALSE(make_scheduler(sd15(SchedulerKind::ddim), 4).draws(0));
  CHECK(make_scheduler(sd15(SchedulerKind::ddim), 4, {.eta = 0.1}).draws(3));
  CHECK(make_scheduler(sd15(SchedulerKind::euler_ancestral), 4).draws(3));
  for (const SchedulerKind kind : {SchedulerKind::pndm, SchedulerKind::euler, SchedulerKind::dpmpp_2m})
    CHECK_FALSE(make_scheduler(sd15(kind), 4).draws(0));
}

TEST_CASE("schedulers: what is refused, and how") {
  const SchedulerConfig ddim = sd15(SchedulerKind::ddim);
  check_error([&] { make_scheduler(ddim, 0); }, {"ddim", "1 ... num_train_timesteps = 1000", "0"});
  check_error([&] { make_scheduler(ddim, 1001); }, {"ddim", "1001"});
  check_error([&] { make_scheduler(ddim, 10, {.eta = 1.5}); }, {"eta", "1.5"});
  check_error([] { scheduler_kind("heun"); }, {"no such scheduler", "euler_ancestral", "heun"});

  Scheduler s = make_scheduler(ddim, 4, {.eta = 1});
  const Tensor x = zeros({1, 4}), noise = ones({1, 4});
  check_error([&] { s.step(x, 1, x, noise); }, {"steps run in order", "step 0", "step 1"});
  check_error([&] { s.step(x, 0, x); }, {"draws noise", "[1, 4] f32", "none"});
  check_error([&] { s.step(zeros({1, 3}), 0, x, noise); }, {"[B, ...]", "[1, 3] f32"});
  check_error([&] { s.step(cast(x, DType::f64), 0, x, noise); }, {"f32", "f64"});
  check_error([&] { s.scale_model_input(x, 4); }, {"no such step", "0 ... 3"});
  s.step(x, 0, x, noise);
  check_error([&] { s.step(x, 0 + 2, x, noise); }, {"step 1, or 0 to start anew"});

  // Plans diffusers makes and cannot run.
  Scheduler last = make_scheduler(ddim, 1000);  // offset 1: timestep 1000
  CHECK(last.timesteps().front() == 1000);
  check_error([&] { last.step(x, 0, x); }, {"outside the noise schedule", "0 ... 999", "1000", "steps_offset"});
  SchedulerConfig trailing = ddim;
  trailing.timestep_spacing = Spacing::trailing;
  Scheduler speck = make_scheduler(trailing, 61);  // numpy.arange makes 62 of them
  CHECK(speck.calls() == 62);
  CHECK(speck.timesteps().back() == -1);
  check_error([&] { speck.step(x, 0, x); }, {"outside the noise schedule", "-1"});
  SchedulerConfig dpm = sd15(SchedulerKind::dpmpp_2m);
  dpm.timestep_spacing = Spacing::leading;
  Scheduler twice = make_scheduler(dpm, 1000);
  check_error([&] { twice.step(x, 0, x); }, {"the first timestep comes twice"});

  SchedulerConfig dark = ddim;
  dark.rescale_betas_zero_snr = true;
  check_error([&] { make_scheduler(dark, 10); }, {"without signal", "v or x_0"});
  dark.kind = SchedulerKind::euler;
  dark.rescale_betas_zero_snr = false;
  dark.beta_end = 1;
  check_error([&] { make_scheduler(dark, 10); }, {"leaves no signal"});
  SchedulerConfig pndm = sd15(SchedulerKind::pndm);
  pndm.skip_prk_steps = false;
  check_error([&] { make_scheduler(pndm, 3); }, {"Runge-Kutta", "4 steps or more"});
  pndm.prediction_type = Prediction::sample;
  check_error([&] { make_scheduler(pndm, 8); }, {"prediction_type", "epsilon, v_prediction"});
  dpm.lambda_min_clipped = 50;
  check_error([&] { make_scheduler(dpm, 8); }, {"lambda_min_clipped"});
}
