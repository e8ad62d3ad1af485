// sspo step: one step of preference training on a given batch, exactly: to compare with any other implementation.
// Files hold latents as [B, C, H, W]; outputs are f32 (f64 with --dtype f64), parameters and gradients in the checkpoint's layout.
#pragma once
#include <string>
#include <vector>

#include "cli/forward.hpp"
#include "sspo/train/optimizer.hpp"

namespace sspo::cli {

struct StepCommand {
  std::string policy, reference, variant, in, out, schedule;
  std::string objective = "sspo", gate = "sign", tie = "zero", optimizer = "adamw";
  std::uint64_t seed = 0;
  double beta = 2000, kappa = 0, eta = 1000, clip_norm = 1;  // kappa 0: beta / 2
  AdamW::Options adamw{.lr = 2.048e-5};
  std::vector<double> betas = {0.9, 0.999};
  Index micro_batch = 0;
  bool force = false;
  DeviceOptions device;
};
void step(const StepCommand& command);

std::vector<std::string> objective_choices();
std::vector<std::string> gate_choices();
bool needs_reference(const std::string& objective);

}  // namespace sspo::cli
