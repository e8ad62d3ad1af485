#include "cli/step.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "cli/device.hpp"
#include "cli/files.hpp"
#include "cli/inputs.hpp"
#include "cli/layout.hpp"
#include "sspo/models/stable_diffusion.hpp"
#include "sspo/train/preference.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

struct Network {
  Params params;
  UNet unet;
};

// f32 numbers, whatever the arithmetic: policy and reference compute in the same type with the same kernels.
Network load(const std::string& model, const StepCommand& c, const Device& device) {
  const std::string folder = component_folder(model, "unet");
  const UNetConfig config = load_unet_config(folder + "/config.json");
  Params params = load_params<UNet>(config, folder, {.variant = c.variant}, {.device = device});
  params.compute_in(dtype_of(c.device));
  return {params, UNet(params, config)};
}

// As asked for; else the policy's own, beside its unet; else, said aloud, that of SD-1.5.
SchedulerConfig scheduler_of(const StepCommand& c) {
  const fs::path name = "scheduler_config.json";
  std::vector<fs::path> places = {fs::path(c.policy) / "scheduler" / name, fs::path(c.policy) / ".." / "scheduler" / name};
  if (!c.schedule.empty()) places = {fs::path(c.schedule) / "scheduler" / name, fs::path(c.schedule) / name, c.schedule};
  for (const fs::path& place : places)
    if (fs::is_regular_file(place)) return load_scheduler_config(place.string(), SchedulerKind::ddpm);
  if (!c.schedule.empty()) io::bad_file({.path = c.schedule}, "no noise schedule here", "a scheduler_config.json, or a folder that holds it");
  SchedulerConfig sd15 = default_config(SchedulerKind::ddpm);
  sd15.beta_schedule = BetaSchedule::scaled_linear, sd15.beta_start = 0.00085, sd15.beta_end = 0.012;
  fmt::print(stderr, "{} has no scheduler: SD-1.5's noise (scaled_linear, 0.00085 to 0.012) and epsilon; --schedule names another\n", io::printable(c.policy));
  return sd15;
}

PairBatch batch_of(Inputs& in, bool pairs) {
  const auto latents = [&](const char* name) { return to_nhwc(in.floats(name, 4)); };
  PairBatch b{.latents_w = latents("latents_w")};
  b.noise_w = latents("noise_w");
  if (pairs || in.has("latents_r")) b.latents_r = latents("latents_r");
  if (in.has("noise_r") && b.latents_r.defined()) b.noise_r = latents("noise_r");
  const Tensor t = in.integers("timesteps", 1);
  b.timesteps = t.dtype() == DType::i64 ? t.to_vector<std::int64_t>() : cast(t, DType::i64).to_vector<std::int64_t>();
  b.text = in.floats("encoder_hidden_states", 3);
  return b;
}

}  // namespace

std::vector<std::string> objective_choices() {
  std::vector<std::string> names;
  for (const Objective& o : objectives()) names.emplace_back(o.name);
  return names;
}
std::vector<std::string> gate_choices() { return {gate_names().begin(), gate_names().end()}; }
bool needs_reference(const std::string& objective) { return objective_named(objective).second != SecondImage::none; }

void step(const StepCommand& c) {
  check_output(c.out, c.force);
  const Device device = device_of(c.device);
  const DType wide = c.device.dtype == "f64" ? DType::f64 : DType::f32;  // of latents and results: never bf16
  const Objective& objective = objective_named(c.objective);
  const SchedulerConfig scheduler = scheduler_of(c);
  Inputs in(c.in, wide, device);
  const PairBatch batch = batch_of(in, objective.second != SecondImage::none);
  const Network policy = load(c.policy, c, device);
  std::optional<Network> reference;
  if (!c.reference.empty()) reference.emplace(load(c.reference, c, device)).params.frozen();

  AdamW adamw(policy.params, [&] { AdamW::Options o = c.adamw; o.beta1 = c.betas.at(0), o.beta2 = c.betas.at(1); return o; }());
  StepOptions o;
  o.prediction = scheduler.prediction_type, o.dtype = dtype_of(c.device), o.micro_batch = c.micro_batch, o.clip_norm = c.clip_norm;
  o.weights = {.kappa = c.kappa > 0 ? c.kappa : c.beta / 2, .eta = c.eta,
               .gate = gate_named(c.gate, c.tie == "plus" ? gates::Tie::plus : gates::Tie::zero, Rng{c.seed} / "gate")};
  const StepReport r = preference_step(adamw, policy.unet, reference ? Denoiser(reference->unet) : Denoiser{}, batch, NoiseSchedule(scheduler), objective, o, Site{});

  std::vector<io::NamedTensor> file;
  const auto write = [&](const std::string& name, const Tensor& x) {
    if (x.defined()) file.push_back({name, contiguous(cast(x, wide))});  // without a reference some are not there
  };
  const PairErrors& a = r.errors;
  const PairTerms& t = r.terms;
  for (const auto& [name, x] : {std::pair{"a_tw", a.theta_w}, {"a_rw", a.ref_w}, {"a_tr", a.theta_r}, {"a_rr", a.ref_r}, {"d_w", t.d_w}, {"d_r", t.d_r},
                                {"s", t.s}, {"z", t.z}, {"loss_i", t.loss_i}, {"loss", t.loss}})
    write(name, x);
  write("grad_norm", full({}, r.grad_norm, DType::f64));
  for (const Param& p : policy.params) {
    const Tensor* g = p.gradient(r.gradients);
    write("grad." + p.name(), to_checkpoint(g ? *g : zeros_like(p.value())));
    write("param." + p.name(), to_checkpoint(p.value()));
  }
  io::save_safetensors(c.out, file, {{"objective", c.objective}, {"gate", c.gate}, {"kappa", fmt::format("{}", o.weights.kappa)}});
}

}  // namespace sspo::cli
