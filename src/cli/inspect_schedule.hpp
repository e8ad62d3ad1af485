// `sspo inspect schedule` and `sspo inspect randn`: timesteps and random numbers to compare with other implementations.
#pragma once
#include <cstdint>
#include <string>

#include "sspo/base/config.hpp"

namespace sspo::cli {

struct InspectScheduleOptions {
  std::string scheduler;  // "euler_ancestral"; empty: the one the model names
  std::string model;      // a pipeline's folder, its scheduler folder, or a scheduler_config.json
  Index steps = 50;
  bool json = false;      // {"scheduler", "steps", "timesteps": [...], "sigmas": [...], "init_noise_sigma"}; else a table
};
void inspect_schedule(const InspectScheduleOptions& options);

struct InspectRandnOptions {
  std::string rng = "torch-cpu";  // philox: normal(Rng{seed} / "randn", shape); torch-cpu; torch-cuda
  std::uint64_t seed = 0;
  std::string shape;              // "1,4,64,64": at most 2^29 elements
  std::string out;                // a safetensors file with one f32 tensor, `noise`
  bool force = false;             // replace an existing file
};
void inspect_randn(const InspectRandnOptions& options);

}  // namespace sspo::cli
