// scheduler_config.json from any bytes: either one Error, or a config that reads back as it was written and whose plans are
// sound: falling (or equal) noise levels, finite timesteps.
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "sspo/diffusion/scheduler.hpp"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check(const sspo::SchedulerConfig& config) {
  const std::string text = sspo::write_scheduler_config(config);
  const sspo::SchedulerConfig again = sspo::read_scheduler_config(text, {.path = "again"});
  require(again.kind == config.kind && sspo::write_scheduler_config(again) == text);
  for (const sspo::Index steps : {sspo::Index(1), sspo::Index(7), config.num_train_timesteps}) {
    try {
      const sspo::StepPlan plan = sspo::plan_steps(config, steps);
      require(!plan.timesteps.empty() && std::isfinite(plan.init_noise_sigma));
      for (const float t : plan.timesteps) require(std::isfinite(t));
      for (const float s : plan.sigmas) require(std::isfinite(s) && s >= 0);
    } catch (const sspo::Error& e) {
      require(e.info().kind == sspo::ErrorKind::input);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  using enum sspo::SchedulerKind;
  for (const auto kind : {ddpm, ddim, pndm, euler, euler_ancestral, dpmpp_2m}) {
    sspo::SchedulerConfig config;
    try {
      config = sspo::read_scheduler_config(text, {.path = "fuzz"}, kind);
    } catch (const sspo::Error& e) {
      require(e.info().kind == sspo::ErrorKind::file && std::string_view(e.what()).find('\n') == std::string_view::npos);
      continue;
    }
    check(config);
  }
  return 0;
}
