#include <fmt/format.h>

#include "cli/inspection.hpp"
#include "sspo/diffusion/schedule.hpp"

namespace sspo::cli {

Inspection inspect_scheduler(const std::string& config_path) {
  const SchedulerConfig config = load_scheduler_config(config_path);
  const NoiseSchedule noise(config);
  const io::Json fields = io::parse_json(write_scheduler_config(config), {.path = config_path});  // with the defaults of what the file leaves out
  const double last = double(noise.alphas_cumprod().back());
  Inspection r;
  r.json = {{"kind", "scheduler"}, {"path", io::printable(config_path, 4096)}, {"scheduler", name_of(config.kind)}, {"config", fields}, {"last_alpha_cumprod", last}};
  r.text = fmt::format("{}: {}, {} timesteps, alpha_cumprod {:.6g} at the last\n", io::printable(config_path, 4096), name_of(config.kind), noise.size(), last);
  for (const auto& [key, value] : fields.items()) r.text += fmt::format("{:<26} {}\n", io::printable(key), io::printable(value.dump(), 400));
  return r;
}

}  // namespace sspo::cli
