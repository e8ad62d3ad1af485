// Plans over a grid of configs, for every number of steps, and what is refused: tests/golden/schedule_digests.json.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "diffusion/golden.hpp"
#include "sspo/ops/create.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

const GoldenJson& digests() {
  static const GoldenJson json = [] {
    std::ifstream in(SSPO_SOURCE_DIR "/tests/golden/schedule_digests.json");
    return GoldenJson::parse(in);
  }();
  return json;
}

constexpr Index block = 50;

struct Digest {
  std::uint64_t hash = 0xcbf29ce484222325ull;
  double times = 0, sigmas = 0;
  void add(std::uint32_t word) { hash = (hash ^ word) * 0x100000001b3ull; }
  void add(const StepPlan& plan) {
    for (const float t : plan.timesteps) add(std::bit_cast<std::uint32_t>(t)), times += double(t);
    if (plan.sigmas.empty()) return;
    sigmas += double(plan.init_noise_sigma);
    for (std::size_t i = 0; i < plan.sigmas.size(); ++i) sigmas += double(plan.sigmas[i]) * (1 + double(i * 7919 % 13) / 13);
  }
};

bool has_sigmas(const SchedulerConfig& c) { return c.kind >= SchedulerKind::euler; }
// Timesteps that follow from logarithms, which numpy rounds its own way: Euler keeps them, DPM-Solver rounds them to integers.
bool from_logarithms(const SchedulerConfig& c) {
  return (c.kind == SchedulerKind::euler || c.kind == SchedulerKind::dpmpp_2m) && (c.use_karras_sigmas || c.use_exponential_sigmas);
}

// Through everything diffusers went through before it refused.
std::string refusal_of(const std::string& kind, const std::string& config, Index steps) {
  return error_of([&] {
    Scheduler s = make_scheduler(read_scheduler_config(config, {.path = "golden"}, scheduler_kind(kind)), steps);
    const Tensor x = zeros({1, 2, 2, 2});
    s.step(s.scale_model_input(x, 0), 0, x, s.draws(0) ? x : Tensor{});
  });
}

}  // namespace

TEST_CASE("a grid of configs: timesteps equal diffusers' for every number of steps, sigmas to rounding") {
  Index plans = 0, refused = 0, rounded = 0;
  for (const GoldenJson& entry : digests().at("plans")) {
    const std::string text = digests().at("configs").at(entry.at("config").get<std::size_t>()).dump();
    const SchedulerConfig c = read_scheduler_config(text, {.path = "golden"}, scheduler_kind(entry.at("kind").get<std::string>()));
    INFO(name_of(c.kind) << " " << text);
    REQUIRE(Index(entry.at("blocks").size()) == (c.num_train_timesteps + block - 1) / block);
    for (Index first = 1; first <= c.num_train_timesteps; first += block) {
      INFO("steps " << first << " and on");
      Digest ours;
      for (Index steps = first; steps <= std::min(first + block - 1, c.num_train_timesteps); ++steps) {
        try {
          ours.add(plan_steps(c, steps));
          ++plans;
        } catch (const Error& e) {
          CHECK(std::string(e.what()).find("steps") != std::string::npos);
          ours.add(0x7fc00000u);
          ++refused;
        }
      }
      const GoldenJson& theirs = entry.at("blocks").at(std::size_t(first / block));
      const double times = theirs.at(1);
      if (!from_logarithms(c)) {
        CHECK(ours.hash == std::strtoull(theirs.at(0).get<std::string>().c_str(), nullptr, 16));
      } else if (c.kind == SchedulerKind::euler) {
        CHECK(std::abs(ours.times - times) <= 1e-7 * times);
      } else {
        CHECK(std::abs(ours.times - times) <= 2);
        rounded += ours.times != times;
      }
      REQUIRE(theirs.size() == (has_sigmas(c) ? 3 : 2));
      if (has_sigmas(c)) CHECK(ours.sigmas == doctest::Approx(theirs.at(2).get<double>()).epsilon(1e-7));
    }
  }
  MESSAGE(plans << " plans; " << refused << " refused as by diffusers; " << rounded << " blocks of DPM-Solver differ in a rounded timestep");
  CHECK(plans > 90'000);
  CHECK(rounded <= 12);  // of 180
}

TEST_CASE("what diffusers refuses is refused: settings, numbers of steps, first steps") {
  CHECK(digests().at("errors").size() > 50);
  for (const GoldenJson& entry : digests().at("errors")) {
    GoldenJson config = digests().at("configs").at(0);
    config.erase("timestep_spacing");
    config["steps_offset"] = 1;
    config.update(entry.at("config"));
    CAPTURE(entry.dump());
    const std::string ours = refusal_of(entry.at("kind"), config.dump(), entry.at("steps"));
    CAPTURE(ours);
    CHECK(ours != "(no error)");
  }
}
