// Teaches a small diffusion model which of two answers is preferred (Diffusion-DPO).
// Learned here: a pair is two samples of one prompt, winner and loser; the four errors of policy and frozen reference under
// one noise are all the loss sees; nothing is sampled while training. Exits with 1 if the preference was not learned.
//
// The "prompt" is one of six directions. The base model answers with a point at distance 2 or, as often, at distance 1 in
// that direction. People prefer the far one.
#include <sspo/sspo.hpp>
#include <sspo/train/preference.hpp>

#include <algorithm>
#include <cstdio>
#include <numbers>

using namespace sspo;

constexpr Index prompts = 6, batch = 128;

// ε of x_t [B, 2] at time t [B] for a prompt [B, 1, 6], one-hot.
struct Denoiser2d {
  nn::Linear point, time, prompt, hidden, out;
  explicit Denoiser2d(const Scope& p)
      : point(p / "point", 2, 64), time(p / "time", 16, 64), prompt(p / "prompt", prompts, 64), hidden(p / "hidden", 64, 64), out(p / "out", 64, 2) {}
  Tensor operator()(const Tensor& x, const Tensor& t, const Tensor& text) const {
    const Tensor h = silu(point(x) + time(timestep_embedding(t, 16)) + prompt(reshape(text, {-1, prompts})));
    return out(hidden(h, Activation::silu));
  }
};

Tensor directions(const Tensor& ids) {  // [B] -> [B, 2]
  const Tensor angle = cast(ids, DType::f32) * (2 * std::numbers::pi / prompts);
  return stack({cos(angle), sin(angle)}, 1);
}
// Points at a distance from the origin, in the direction of each prompt; a little spread.
Tensor answers(const Tensor& ids, const Tensor& distance, const Rng& rng) {
  return directions(ids) * reshape(distance, {-1, 1}) + 0.1 * normal(rng, {ids.dim(0), 2});
}
Tensor one_hot(const Tensor& ids) { return reshape(cast(equal(reshape(ids, {-1, 1}), arange(prompts, 0, 1, DType::i64)), DType::f32), {-1, 1, prompts}); }
Tensor far(Index n) { return full({n}, 2.0); }
Tensor near(Index n) { return full({n}, 1.0); }

// How often the model's own samples are the preferred answer: within 0.5 of the far point.
double share_of_preferred(const Denoiser2d& model, const SchedulerConfig& config) {
  const Index n = 600;
  const Tensor ids = randint(Rng{9} / "ids", {n}, 0, prompts), text = one_hot(ids);
  const Tensor x = sample_latents(model, make_scheduler(config, 25), normal(Rng{9} / "start", {n, 2}), text, text, {.guidance = 1});
  return mean(cast(norm(x - 2.0 * directions(ids), {1}) < 0.5, DType::f32)).item<float>();
}

int main() {
  const Rng rng{42};
  SchedulerConfig config = default_config(SchedulerKind::ddim);
  config.clip_sample = false;
  const NoiseSchedule schedule(config);

  // The base model, pretrained on both kinds of answers. SFT is its objective: the error on what it is shown.
  Params base(Device::cpu(), rng / "init");
  const Denoiser2d base_model(base);
  AdamW pretrain(base, {.lr = 3e-3});
  for (Index step = 0; step < 1500; ++step) {
    const Rng r = rng / "pretrain" / step;
    const Tensor ids = randint(r / "ids", {batch}, 0, prompts);
    const Tensor x = answers(ids, where(uniform(r / "kind", {batch}) < 0.5, near(batch), far(batch)), r / "points");
    preference_step(pretrain, base_model, nullptr, draw_noise({.latents_w = x, .text = one_hot(ids)}, schedule.size(), r), schedule, objective_named("sft"));
  }

  const double before = share_of_preferred(base_model, config);
  std::printf("preferred answers of the base model: %.1f %%\n", 100 * before);

  // A policy starts as the base model, which stays as the reference.
  const Denoiser2d reference(base.frozen());
  double best = 0, last = 0;
  for (const char* name : {"dpo", "dpo+sft"}) {
    const Objective& objective = objective_named(name);
    std::printf("\n%s: %s\n  step     loss   winner: policy - reference   loser   right way   preferred\n", name, std::string(objective.formula).c_str());
    Params params = base.snapshot();
    for (Param p : params) p.set_trainable(true);
    const Denoiser2d policy(params);
    AdamW adamw(params, {.lr = 1e-4});
    StepOptions options;
    options.weights = {.kappa = 100, .eta = 100};  // of two numbers a sample; SD-1.5 averages 16,384, and 1000 is right for it
    for (Index step = 0; step <= 400; ++step) {
      const Rng r = rng / "dpo" / step;
      const Tensor ids = randint(r / "ids", {batch}, 0, prompts);
      const PairBatch pairs = draw_noise({.latents_w = answers(ids, far(batch), r / "w"), .latents_r = answers(ids, near(batch), r / "l"), .text = one_hot(ids)},
                                         schedule.size(), r);
      const PairTerms terms = preference_step(adamw, policy, reference, pairs, schedule, objective, options).terms;
      if (step % 100) continue;
      last = share_of_preferred(policy, config), best = std::max(best, last);
      std::printf("%6lld  %7.4f   %26.4f %7.4f   %7.1f %%   %7.1f %%\n", static_cast<long long>(step), terms.loss.item<double>(), mean(terms.d_w).item<double>(),
                  mean(terms.d_r).item<double>(), 100 * mean(cast(terms.z > 0.0, DType::f64)).item<double>(), 100 * last);
    }
  }
  // DPO asks for the difference alone: in time both errors grow, and samples leave the data. The winner's own error holds them.
  const bool learned = best > before + 0.2 && last > before + 0.2;
  std::printf("\npreferred answers: %.1f %% before, %.1f %% at the end of dpo+sft: %s\n", 100 * before, 100 * last, learned ? "learned" : "NOT learned");
  return learned ? 0 : 1;
}
