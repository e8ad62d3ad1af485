// Noise schedules: what a scheduler_config.json says, and the table of ᾱ_t that training and sampling share.
//   SchedulerConfig config = load_scheduler_config("sd15/scheduler/scheduler_config.json", SchedulerKind::ddpm);
//   NoiseSchedule noise(config);      Tensor x_t = noise.add_noise(x_0, eps, t);
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sspo/io/file.hpp"
#include "sspo/tensor/tensor.hpp"

namespace sspo {

enum class SchedulerKind { ddpm, ddim, pndm, euler, euler_ancestral, dpmpp_2m };
std::string_view name_of(SchedulerKind kind);                                        // "euler_ancestral"
SchedulerKind scheduler_kind(std::string_view name, Site at = Site::current());      // from it, or an Error that lists all

enum class BetaSchedule { linear, scaled_linear, squaredcos_cap_v2 };
enum class Prediction { epsilon, v_prediction, sample };  // what the model tells: the noise, the velocity, x_0
enum class Spacing { leading, trailing, linspace };       // Lin et al. 2024 (arXiv 2305.08891), table 2
enum class VarianceType { fixed_small, fixed_small_log, fixed_large };  // DDPM section 3.2
enum class Interpolation { linear, log_linear };
enum class SdeOrOde { ode, sde };                         // algorithm_type "dpmsolver++" and "sde-dpmsolver++"
enum class Solver { midpoint, heun };
enum class FinalSigma { zero, sigma_min };

// The fields of diffusers' six schedulers, under their names. Which of them count depends on the kind, and so do the
// defaults: see default_config. Those marked * belong to few kinds.
struct SchedulerConfig {
  SchedulerKind kind = SchedulerKind::ddpm;
  // The noise a sample gets.
  Index num_train_timesteps = 1000;                // T: 2 ... 100,000
  double beta_start = 1e-4, beta_end = 0.02;
  BetaSchedule beta_schedule = BetaSchedule::linear;
  std::vector<double> trained_betas = {};          // T of them, in place of a beta_schedule; or none
  bool rescale_betas_zero_snr = false;             // * all but pndm
  // The model's part.
  Prediction prediction_type = Prediction::epsilon;
  bool clip_sample = true;                         // * ddpm, ddim: x_0 clamped to ± clip_sample_range
  double clip_sample_range = 1;
  bool thresholding = false;                       // * ddpm, ddim, dpmpp_2m: x_0 clamped to a quantile of |x_0| (Imagen section 2.3)
  double dynamic_thresholding_ratio = 0.995, sample_max_value = 1;
  // The steps.
  Spacing timestep_spacing = Spacing::leading;
  Index steps_offset = 0;
  bool set_alpha_to_one = true;                    // * ddim, pndm: ᾱ after the last step is 1, else ᾱ_0
  bool skip_prk_steps = false;                     // * pndm: no Runge-Kutta steps at the start
  VarianceType variance_type = VarianceType::fixed_small;  // * ddpm
  // * euler, dpmpp_2m: where the noise levels lie.
  Interpolation interpolation_type = Interpolation::linear;  // * euler
  bool use_karras_sigmas = false, use_exponential_sigmas = false;
  std::optional<double> sigma_min = {}, sigma_max = {};      // * euler, for the two above
  FinalSigma final_sigmas_type = FinalSigma::zero;
  // * dpmpp_2m
  int solver_order = 2;                            // 1 ... 3
  SdeOrOde algorithm_type = SdeOrOde::ode;
  Solver solver_type = Solver::midpoint;
  bool lower_order_final = true, euler_at_final = false;
  std::optional<double> lambda_min_clipped = {};   // none: -infinity
};

SchedulerConfig default_config(SchedulerKind kind);  // what diffusers' class has where the file says nothing

// Reads the text of a scheduler_config.json for the scheduler one wants; without a kind, for the one the file names.
// Fields that do not count for that kind are not looked at. Throws Error{file} naming the field: wrong type or range, or
// a setting that changes results and is not supported. -Infinity, which Python writes, is read as absent.
SchedulerConfig read_scheduler_config(std::string_view json, const io::Place& place, std::optional<SchedulerKind> kind = {});
SchedulerConfig load_scheduler_config(const std::string& path, std::optional<SchedulerKind> kind = {});
std::string write_scheduler_config(const SchedulerConfig& config);  // what diffusers' from_pretrained loads

// q(x_t | x_0) = N(sqrt(ᾱ_t) x_0, (1 - ᾱ_t) I)     DDPM eq. 4
class NoiseSchedule {
 public:
  // Throws Error: not T trained betas, a beta outside [0, 1].
  explicit NoiseSchedule(const SchedulerConfig& config, Site at = Site::current());

  Index size() const { return Index(alphas_cumprod_.size()); }
  const std::vector<float>& alphas_cumprod() const { return alphas_cumprod_; }  // ᾱ_t, the f32 numbers of diffusers
  double snr(Index t, Site at = Site::current()) const;                         // ᾱ_t / (1 - ᾱ_t)

  // x_t = sqrt(ᾱ_t) x_0 + sqrt(1 - ᾱ_t) ε and v = sqrt(ᾱ_t) ε - sqrt(1 - ᾱ_t) x_0 (Salimans & Ho 2022, appendix D).
  // x_0, ε [B, ...] of one shape; B timesteps in 0 ... T - 1, or an Error.
  Tensor add_noise(const Tensor& x_0, const Tensor& eps, std::span<const Index> t, Site at = Site::current()) const;
  Tensor velocity(const Tensor& x_0, const Tensor& eps, std::span<const Index> t, Site at = Site::current()) const;

 private:
  std::vector<float> alphas_cumprod_;
};

}  // namespace sspo
