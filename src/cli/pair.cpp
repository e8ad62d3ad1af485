#include "cli/pair.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>

#include "cli/opened_run.hpp"
#include "cli/signals.hpp"
#include "cli/train_policy.hpp"
#include "cli/train_samples.hpp"
#include "sspo/train/preference.hpp"
#include "sspo/train/replay.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

// Which models and which pictures: what the trainer had in that phase.
struct Chosen {
  Index phase, phases, reference, sample;
  std::string policy_folder, policy, reference_folder;
  Tensor x_w, x_r;  // x_0^w, x_0^r [1, h, w, C], scaled
};

Chosen choose(const PairCommand& o, const TrainContext& c, const Objective& objective, const Rng& rng) {
  const Recipe& r = c.recipe;
  const Index phases = r.integer("preference.phases"), k = o.phase ? o.phase : phases;
  if (k < 1 || k > phases) fail({.op = "--phase", .what = "no such phase", .expected = fmt::format("1 to {}", phases), .got = std::to_string(k)}, Site{});
  const Phase phase(r, c.data.size(), k);
  const Index M = Index(phase.prompts().size());
  if (o.index < 0 || o.index >= M) fail({.op = "--index", .what = "the phase has no such prompt", .expected = fmt::format("0 to {}", M - 1), .got = std::to_string(o.index)}, Site{});

  const ReplayPool pool(c.run / "pool");
  for (const auto& [reference, places] : phase.sampled()) {  // one, unless references are drawn for each batch or sample
    const auto place = std::find(places.begin(), places.end(), o.index);
    if (place == places.end()) continue;
    Chosen x{.phase = k, .phases = phases, .reference = reference, .sample = phase.prompts()[std::size_t(o.index)], .policy_folder = last_policy(c.model, c.run.path()), .policy = "C[" + std::to_string(k) + "]",
             .reference_folder = pool.open(reference), .x_w = {}, .x_r = {}};
    if (k < phases) x.policy_folder = pool.open(k);
    else x.policy += r.number("train.ema") > 0 ? ", exported as an average of the weights" : ", the exported model";
    const Rng posterior = rng / "posterior";
    x.x_w = latents_of(*latent_cache(c, false), {x.sample}, c.model.vae.config, posterior);
    x.x_r = objective.second == SecondImage::annotated_loser ? latents_of(*latent_cache(c, true), {x.sample}, c.model.vae.config, posterior)
                                                             : self_sample_store(c, self_sampling_of(c), phase, k, reference, x.reference_folder)->rows({place - places.begin()});
    return x;
  }
  fail({.op = "--index", .what = "that prompt was in no batch of the phase", .hint = "another --index"}, Site{});
}

// What the model takes x_0 to be, from what it tells of x_t: the inverse of add_noise (DDPM eq. 4).
Tensor denoised(const Tensor& x_t, const Tensor& out, std::span<const Index> t, const NoiseSchedule& schedule, Prediction kind) {
  if (kind == Prediction::sample) return out;
  std::vector<float> a, b;
  for (const Index i : t) {
    const double alpha = schedule.alphas_cumprod()[std::size_t(i)], root = std::sqrt(alpha), rest = std::sqrt(1 - alpha);
    a.push_back(float(kind == Prediction::epsilon ? 1 / root : root)), b.push_back(float(kind == Prediction::epsilon ? rest / root : rest));
  }
  const Shape per_sample{x_t.dim(0), 1, 1, 1};
  return Tensor::from(a, per_sample, x_t.device()) * x_t - Tensor::from(b, per_sample, x_t.device()) * out;
}

}  // namespace

void pair(const PairCommand& o) {
  OpenedRun run(o.run, Device::cpu({.threads = o.threads, .isa = o.isa}));
  const Recipe& r = run.recipe;
  const TrainContext& context = run.context;
  TrainModel& model = run.model;
  const TrainData& data = run.data;
  const Device& device = run.device;
  const Objective& objective = objective_named(r.text("objective"));
  if (objective.second == SecondImage::none) r.wrong("objective", "it looks at winners alone", "an objective with a second image: sspo, spin, dpo, ...", r.text("objective"));
  const Rng rng = context.rng() / "pair" / o.draw;
  const Chosen c = choose(o, context, objective, rng);

  const UNet theta = *load_policy(model, c.policy_folder, device), ref = *load_policy(model, c.reference_folder, device);
  const NoiseSchedule schedule(model.scheduler);
  const Prediction kind = model.scheduler.prediction_type;

  std::vector<Index> times = o.timesteps;
  if (times.empty())
    for (const Index tenth : {1, 3, 5, 7, 9}) times.push_back(tenth * schedule.size() / 10);
  for (const Index t : times)
    if (t < 0 || t >= schedule.size()) fail({.op = "--timestep", .what = "not in the schedule", .expected = fmt::format("0 to {}", schedule.size() - 1), .got = std::to_string(t)}, Site{});

  const Index B = Index(times.size());
  const auto times_B = [&](const Tensor& x) { return cat(Tensors(std::size_t(B), x), 0); };
  const PairBatch batch{.latents_w = times_B(c.x_w), .latents_r = times_B(c.x_r), .noise_w = times_B(normal(rng / "noise", c.x_w.shape(), device)),  // one noise for both images and all times
                        .timesteps = times, .text = CaptionStates(context).rows(std::vector<std::string>(std::size_t(B), data.captions[std::size_t(c.sample)]))};

  const double kappa = r.has("preference.kappa") ? r.number("preference.kappa") : r.number("preference.beta") / 2;
  ObjectiveOptions weights{.kappa = kappa, .eta = r.has("preference.eta") ? r.number("preference.eta") : kappa};
  if (objective.gated) weights.gate = gate_named(r.text("preference.gate"), r.text("preference.tie") == "plus" ? gates::Tie::plus : gates::Tie::zero, rng / "gate");
  const PairErrors errors = pair_errors(std::cref(theta), std::cref(ref), batch, schedule, {.prediction = kind, .dtype = model.dtype});
  const PairTerms terms = objective.loss(errors, weights, Site{});
  stop_if_interrupted();

  const std::string folder = o.run + "/pair";
  fs::remove_all(folder);
  fs::create_directories(folder);
  const auto save = [&](const std::string& name, const Tensor& z) {
    stop_if_interrupted();
    io::write_png(folder + "/" + name, io::to_images(cast(model.vae.model->decode(cast(from_model(z, model.vae.config), model.dtype)), DType::f32))[0]);
    return "pair/" + name;
  };
  const std::string second = objective.second == SecondImage::self_sampled ? "self-sample" : "loser";
  io::Json json = {{"objective", objective.name}, {"gate", objective.gated ? r.text("preference.gate") : ""}, {"kappa", kappa}, {"phase", c.phase}, {"phases", c.phases}, {"reference", c.reference},
                   {"policy", c.policy}, {"index", o.index}, {"sample", c.sample}, {"caption", io::printable(data.captions[std::size_t(c.sample)], 4096)}, {"second", second}, {"draw", o.draw},
                   {"picture_w", save("winner.png", c.x_w)}, {"picture_r", save("second.png", c.x_r)}, {"rows", io::Json::array()}};
  for (const Index t : times) json["rows"].push_back(io::Json::object({{"t", t}}));
  for (const bool winner : {true, false}) {
    const Tensor x_t = schedule.add_noise(winner ? batch.latents_w : batch.latents_r, batch.noise_w, times);
    const Tensor t = Tensor::from(std::vector<float>(times.begin(), times.end()), {B}, device);
    const auto guess = [&](const UNet& unet_) { return denoised(x_t, cast(unet_(cast(x_t, model.dtype), t, cast(batch.text, model.dtype)), DType::f32), times, schedule, kind); };
    const char* image = winner ? "w" : "r";
    for (const auto& [name, z] : {std::pair{std::string("noisy_"), x_t}, {"theta_", guess(theta)}, {"ref_", guess(ref)}})
      for (Index i = 0; i < B; ++i)
        json["rows"][std::size_t(i)][name + image] = save(fmt::format("t{}-{}{}.png", times[std::size_t(i)], name, image), slice(z, 0, i, i + 1));
  }
  const std::pair<const char*, const Tensor*> numbers[] = {{"a_tw", &errors.theta_w}, {"a_rw", &errors.ref_w}, {"a_tr", &errors.theta_r}, {"a_rr", &errors.ref_r}, {"d_w", &terms.d_w}, {"d_r", &terms.d_r},
                                                           {"s", &terms.s}, {"z", &terms.z}, {"g", &terms.g}, {"loss", &terms.loss_i}};
  for (const auto& [name, x] : numbers) {
    const std::vector<double> values = cast(detach(*x), DType::f64).to_vector<double>();
    for (Index i = 0; i < B; ++i) json["rows"][std::size_t(i)][name] = values[std::size_t(i)];
  }
  io::write_file(o.run + "/pair.json", json.dump(2) + "\n");
  if (o.json) fmt::print("{}\n", json.dump());
  else fmt::print(stderr, "{}/pair.json: phase {}, reference {}, prompt {}\n", io::printable(o.run, 4096), c.phase, c.reference, io::printable(data.captions[std::size_t(c.sample)]));
}

}  // namespace sspo::cli
