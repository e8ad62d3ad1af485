#include "cli/pair.hpp"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include "cli/recipe.hpp"
#include "cli/signals.hpp"
#include "cli/train_data.hpp"
#include "io/json.hpp"
#include "sspo/models/stable_diffusion.hpp"
#include "sspo/train/batches.hpp"
#include "sspo/train/preference.hpp"
#include "sspo/train/replay.hpp"
#include "sspo/train/tensor_store.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

// Which models and which picture: what the trainer had in that phase.
struct Chosen {
  Index phase, phases, reference, sample;
  std::string policy_folder, policy, reference_folder;
};

Chosen choose(const PairCommand& o, const Recipe& r, const Objective& objective, const TrainData& data, const Rng& rng) {
  const Index phases = r.integer("preference.phases"), phase = o.phase ? o.phase : phases;
  if (phase < 1 || phase > phases) fail({.op = "--phase", .what = "no such phase", .expected = fmt::format("1 to {}", phases), .got = std::to_string(phase)}, Site{});
  const Index all = data.size(), M = r.integer("preference.prompts") ? std::min(r.integer("preference.prompts"), all) : all;
  if (o.index < 0 || o.index >= M) fail({.op = "--index", .what = "the phase has no such prompt", .expected = fmt::format("0 to {}", M - 1), .got = std::to_string(o.index)}, Site{});
  const Index sample = Batches(all, {.batch = M}, rng / "prompts").at(phase - 1)[std::size_t(o.index)].sample;

  const ReferencePolicy policy = r.has("preference.reference") ? reference_policy_named(r.text("preference.reference")) : objective.reference;
  const ReplayPool pool(o.run + "/pool");
  Chosen c{.phase = phase, .phases = phases, .reference = draw_reference(policy, rng / "replay", phase), .sample = sample, .policy_folder = o.run + "/model", .policy = "C[" + std::to_string(phase) + "]", .reference_folder = {}};
  c.reference_folder = pool.open(c.reference);
  if (phase < phases) c.policy_folder = pool.open(phase);
  else if (r.number("train.ema") > 0) c.policy = "the exported model, an average of the weights";
  else c.policy += ", the exported model";
  return c;
}

// x_0^r [1, h, w, C]: the self-sample that the trainer kept, or the annotated loser.
Tensor second_image(const PairCommand& o, const Recipe& r, const Objective& objective, const TrainData& data, const Chosen& c, const std::function<Tensor(const io::Image&)>& latent, Index side, const Device& device) {
  if (objective.second == SecondImage::annotated_loser) return latent(data.loser(c.sample, side));
  std::error_code none;
  const std::string start = "phase-" + std::to_string(c.phase) + "-";
  for (fs::directory_iterator it(o.run + "/self-samples", none), end; !none && it != end; it.increment(none))
    if (it->path().filename().string().starts_with(start))
      return TensorStore(it->path().string(), o.index + 1, {.shard = r.integer("sampling.batch"), .device = device}).rows({o.index});
  io::bad_file({.path = o.run + "/self-samples"}, "no self-samples of phase " + std::to_string(c.phase), "a folder " + start + "...", {}, "was the run finished?");
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
  const Recipe r = read_recipe(o.run + "/recipe.toml");
  if (r.kind() != preference) r.wrong("objective", "there are no pairs", "an objective of preference training", r.text("objective"));
  const Objective& objective = objective_named(r.text("objective"));
  if (objective.second == SecondImage::none) r.wrong("objective", "it looks at winners alone", "an objective with a second image: sspo, spin, dpo, ...", r.text("objective"));
  const Device device = Device::cpu({.threads = o.threads, .isa = o.isa});
  const TrainData data = open_train_data(r, [](const std::string& line) { fmt::print(stderr, "{}\n", io::printable(line, 4096)); });
  const Rng run_rng(std::uint64_t(r.integer("seed"))), rng = run_rng / "pair" / o.draw;
  const Chosen c = choose(o, r, objective, data, run_rng);

  const DType dtype = r.text("train.dtype") == "bf16" ? DType::bf16 : DType::f32;
  const StableDiffusion sd = StableDiffusion::load(o.run + "/model", {}, {.dtype = dtype, .device = device});
  const auto unet = [&](const std::string& folder) { return load_component<UNet>(folder + "/unet", sd.unet.config(), {}, {.dtype = dtype, .device = device}); };
  const UNet theta = unet(c.policy_folder), ref = unet(c.reference_folder);
  const NoiseSchedule schedule(sd.scheduler);
  const Prediction kind = sd.scheduler.prediction_type;

  std::vector<Index> times = o.timesteps;
  if (times.empty())
    for (const Index tenth : {1, 3, 5, 7, 9}) times.push_back(tenth * schedule.size() / 10);
  for (const Index t : times)
    if (t < 0 || t >= schedule.size()) fail({.op = "--timestep", .what = "not in the schedule", .expected = fmt::format("0 to {}", schedule.size() - 1), .got = std::to_string(t)}, Site{});

  const Index side = sd.unet.config().sample_size * sd.vae.config().downscale(), B = Index(times.size());
  const auto latent = [&](const io::Image& image) {
    const Moments q = sd.vae.encode(cast(io::to_tensor({image}, device), dtype));
    return to_model(sample(Moments{cast(q.mean, DType::f32), cast(q.logvar, DType::f32)}, rng / "posterior"), sd.vae.config());
  };
  const Tensor x_w = latent(data.picture(c.sample, side)), x_r = second_image(o, r, objective, data, c, latent, side, device);
  const Tensor eps = normal(rng / "noise", x_w.shape(), device);                          // one noise for both images and all times
  const auto times_B = [&](const Tensor& x) { return cat(Tensors(std::size_t(B), x), 0); };
  PairBatch batch{.latents_w = times_B(x_w), .latents_r = times_B(x_r), .noise_w = times_B(eps), .timesteps = times,
                  .text = cast(sd.encode(std::vector<std::string>(std::size_t(B), data.captions[std::size_t(c.sample)])), DType::f32)};

  const double kappa = r.has("preference.kappa") ? r.number("preference.kappa") : r.number("preference.beta") / 2;
  ObjectiveOptions weights{.kappa = kappa, .eta = r.has("preference.eta") ? r.number("preference.eta") : kappa};
  if (objective.gated) weights.gate = gate_named(r.text("preference.gate"), r.text("preference.tie") == "plus" ? gates::Tie::plus : gates::Tie::zero, rng / "gate");
  const PairErrors errors = pair_errors(std::cref(theta), std::cref(ref), batch, schedule, {.prediction = kind, .dtype = dtype});
  const PairTerms terms = objective.loss(errors, weights, Site{});
  stop_if_interrupted();

  const std::string folder = o.run + "/pair";
  fs::remove_all(folder);
  fs::create_directories(folder);
  const auto save = [&](const std::string& name, const Tensor& z) {
    stop_if_interrupted();
    io::write_png(folder + "/" + name, io::to_images(sd.decode(z))[0]);
    return "pair/" + name;
  };
  const std::string second = objective.second == SecondImage::self_sampled ? "self-sample" : "loser";
  io::Json json = {{"objective", objective.name}, {"gate", objective.gated ? r.text("preference.gate") : ""}, {"kappa", kappa}, {"phase", c.phase}, {"phases", c.phases}, {"reference", c.reference},
                   {"policy", c.policy}, {"index", o.index}, {"sample", c.sample}, {"caption", io::printable(data.captions[std::size_t(c.sample)], 4096)}, {"second", second}, {"draw", o.draw},
                   {"picture_w", save("winner.png", x_w)}, {"picture_r", save("second.png", x_r)}, {"rows", io::Json::array()}};
  for (Index i = 0; i < B; ++i)
    json["rows"].push_back({{"t", times[std::size_t(i)]}});
  for (const bool winner : {true, false}) {
    const Tensor x_t = schedule.add_noise(winner ? batch.latents_w : batch.latents_r, batch.noise_w, times);
    const Tensor t = Tensor::from(std::vector<float>(times.begin(), times.end()), {B}, device);
    const auto guess = [&](const UNet& model) { return denoised(x_t, cast(model(cast(x_t, dtype), t, cast(batch.text, dtype)), DType::f32), times, schedule, kind); };
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
