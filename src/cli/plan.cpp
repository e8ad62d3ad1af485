#include "cli/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <functional>

#include "cli/device.hpp"
#include "cli/eval_recipe.hpp"
#include "cli/plan_eval.hpp"
#include "cli/plan_fit.hpp"
#include "cli/plan_flops.hpp"
#include "cli/train_optimizer.hpp"
#include "cli/train_phase.hpp"
#include "cli/train_policy.hpp"
#include "cli/train_tasks.hpp"
#include "sspo/grad/trace.hpp"
#include "sspo/models/vae_tiling.hpp"
#include "sspo/ops/loss.hpp"
#include "sspo/tensor/rehearsal.hpp"
#include "sspo/train/preference.hpp"

namespace sspo::cli {
namespace {

std::uint64_t in_blocks(std::uint64_t bytes) { return (bytes + 63) / 64 * 64; }  // as the arena hands them out
std::uint64_t tensor_bytes(const Params& params) {
  std::uint64_t bytes = 0;
  for (const Param& p : params) bytes += in_blocks(std::uint64_t(p.shape().numel()) * size_of(p.value().dtype()));
  return bytes;
}
std::uint64_t f32_bytes(const Params& params) {
  std::uint64_t bytes = 0;
  for (const Param& p : params) bytes += in_blocks(std::uint64_t(p.shape().numel()) * 4);
  return bytes;
}
template <class Model>
std::uint64_t frozen_bytes(const Part<Model>& part) { return part.frozen ? tensor_bytes(*part.frozen) : 0; }
std::uint64_t unet_bytes(const TrainModel& m) {
  std::uint64_t bytes = m.lora ? 0 : frozen_bytes(m.unet);  // adapters share the weights
  for (const Param& p : m.trained)
    if (p.name().starts_with("unet.")) bytes += in_blocks(std::uint64_t(p.shape().numel()) * size_of(p.value().dtype()));  // as the policy's
  return bytes;
}

bool trains_unet(const Recipe& r) { return r.kind() & (pretrain | preference); }
bool needs_reference(const Recipe& r) { return r.kind() == preference && objective_named(r.text("objective")).second != SecondImage::none; }

struct Sizes {
  Index micro, batches;  // of the two that are tried
};
Sizes sizes_of(const Recipe& r) {
  const Index batch = r.integer("train.batch"), micro = r.integer("train.micro_batch") ? r.integer("train.micro_batch") : batch;
  return {micro, micro < batch ? 2 : 1};
}

Tensor text_like(const Recipe&, const TrainModel& m, Index n, const Device& device) {
  const ClipTextConfig& c = m.text_encoder.config;
  return normal(Rng{2}, {n, c.max_position_embeddings, c.hidden_size}, device);
}
Shape batch_of(const TrainModel& m, Index n) { return {n, m.latent[0], m.latent[1], m.latent[2]}; }

// `references`: those in memory at once; the samples of a step take the last, or each the next one (`in_turn`).
Gradients step_like(const Recipe& r, TrainModel& m, const std::vector<UNet>& references, const Device& device, bool in_turn = false) {
  const auto [micro, batches] = sizes_of(r);
  const Index B = micro * batches;
  Gradients g;
  if (r.kind() == pretrain_vae) {
    for (Index i = 0; i < batches; ++i) {
      const Tensor x = normal(Rng{1}, {micro, m.side, m.side, 3}, device);
      const Moments q = m.vae.model->encode(cast(x, m.dtype));
      const Tensor y = m.vae.model->decode(sample(q, Rng{3}));
      backward(mean(square(cast(y, DType::f32) - x)) + mean(exp(cast(q.logvar, DType::f32))), g);
    }
    return g;
  }
  if (r.kind() == judge) {
    const Tensor x = normal(Rng{1}, {B, m.side, m.side, 3}, device);
    const Judge& net = *m.judge.model;
    const CaptionTokens words = caption_tokens(*m.tokenizer, std::vector<std::string>(std::size_t(B), "a cat"), net.config().max_tokens, device);
    std::vector<Index> groups;
    for (Index i = 0; i < B; ++i) groups.push_back(i);
    backward(mean(square(net.style(x))) + contrast(net.embed(net.features(x)), net.text(words), net.scale(), groups), g);
    return g;
  }
  const NoiseSchedule schedule(m.scheduler);
  const Tensor x = normal(Rng{1}, batch_of(m, B), device);
  if (r.kind() == pretrain) {
    for (Index i = 0; i < batches; ++i) {
      Tensor text = cast(text_like(r, m, micro, device), m.dtype);
      if (!m.text_encoder.frozen) text = (*m.text_encoder.model)(zeros({micro, m.text_encoder.config.max_position_embeddings}, DType::i64, device)).last_hidden_state;
      const Tensor part = slice(x, 0, i * micro, (i + 1) * micro);
      const Tensor out = (*m.unet.model)(cast(part, m.dtype), full({micro}, 1, DType::f32, device), text);
      backward(mean(mse_per_sample(cast(out, DType::f32), part)), g);
    }
    return g;
  }
  const Objective& o = objective_named(r.text("objective"));
  PairBatch batch{.latents_w = x, .text = text_like(r, m, B, device)};
  if (!references.empty()) batch.latents_r = normal(Rng{4}, x.shape(), device);
  GradientOptions options;
  options.micro_batch = micro, options.dtype = m.dtype, options.prediction = m.scheduler.prediction_type;
  const References reference = [&](Index i) { return references.empty() ? Denoiser() : Denoiser(std::cref(references[std::size_t(i)])); };
  std::vector<Index> which;
  for (Index i = 0; i < B; ++i) which.push_back(references.empty() ? 0 : in_turn ? i % Index(references.size()) : Index(references.size()) - 1);
  return pair_gradients(std::cref(*m.unet.model), reference, which, draw_noise(batch, schedule.size(), Rng{5}), schedule, o, {.kappa = 1}, options).gradients;
}

double unet_flops(const Recipe& r, TrainModel& m, const Device& device) {  // of one sample, forward
  const Tensor x = cast(normal(Rng{1}, batch_of(m, 1), device), m.dtype), text = cast(text_like(r, m, 1, device), m.dtype);
  Trace trace(device);
  (*m.unet.model)(x, full({1}, 1, DType::f32, device), text);
  return flops_of(trace);
}
double vae_flops(TrainModel& m, const Device& device) {
  const Tensor x = cast(normal(Rng{1}, {1, m.side, m.side, 3}, device), m.dtype);
  Trace trace(device);
  m.vae.model->decode(m.vae.model->encode(x).mean);
  return flops_of(trace);
}

// Rows of the caches that stay in memory once they were read: of each cache up to its own bound (TensorStore::Options::keep_bytes).
std::uint64_t kept_rows(const Recipe& r, const TrainModel& m, const TrainData& data) {
  if (!trains_unet(r)) return 0;
  const std::uint64_t bound = TensorStore::Options{}.keep_bytes, rows = std::uint64_t(data.size()), latent = std::uint64_t(m.latent.numel()) * 4;
  const auto kept = [&](std::uint64_t count, std::uint64_t bytes) { return std::min(bound, count * in_blocks(bytes)); };
  std::uint64_t bytes = kept(rows, 2 * latent);
  if (m.text_encoder.frozen) bytes += kept(rows + 1, std::uint64_t(m.text_encoder.config.max_position_embeddings * m.text_encoder.config.hidden_size) * 4);
  if (!needs_reference(r)) return bytes;
  const std::uint64_t prompts = std::uint64_t(r.integer("preference.prompts"));
  const bool losers = objective_named(r.text("objective")).second == SecondImage::annotated_loser;
  return bytes + (losers ? kept(rows, 2 * latent) : kept(prompts ? std::min(prompts, rows) : rows, latent));
}

// What the phases draw: pictures in all, and the most references of one phase.
struct Drawn {
  std::uint64_t pictures = 0;
  Index references = 0;
};
Drawn drawn_by(const Recipe& r, Index samples) {
  Drawn all;
  if (!needs_reference(r)) return all;
  const bool self = objective_named(r.text("objective")).second == SecondImage::self_sampled;
  for (Index k = 1; k <= r.integer("preference.phases"); ++k) {
    const Phase phase(r, samples, k);
    all.references = std::max(all.references, Index(phase.sampled().size()));
    for (const auto& [reference, places] : phase.sampled()) all.pictures += self ? places.size() : 0;
  }
  return all;
}

double judge_flops(TrainModel& m, const Device& device) {
  const Tensor x = normal(Rng{1}, {1, m.side, m.side, 3}, device);
  Trace trace(device);
  m.judge.model->style(x), m.judge.model->embed(m.judge.model->features(x));
  return flops_of(trace);
}

// Masters and states that take no memory between steps: what they would take on disk is added up.
Keep kept_nowhere(std::uint64_t& bytes) {
  return [&bytes](const Tensor& x) {
    bytes += in_blocks(std::uint64_t(x.numel()) * size_of(x.dtype()));
    return StateTensor(x.shape(), x.dtype(), [shape = x.shape(), dtype = x.dtype(), device = x.device()] { return zeros(shape, dtype, device); }, [](const Tensor&) {});
  };
}
std::uint64_t state_bytes(const Recipe& r, const Params& trained) {
  std::uint64_t bytes = 0;
  Params shapes(rehearsal_device());
  for (const Param& p : trained) shapes.adopt(p.name(), Tensor::empty(p.shape(), DType::f32, shapes.device()));
  make_optimizer(r, shapes, kept_nowhere(bytes));
  return bytes;
}

}  // namespace

MemoryPlan plan_memory(const Recipe& r, const TrainData& data, const PlanOptions& o) {
  constexpr std::uint64_t large = std::uint64_t(256) << 20;  // bytes of weights
  CpuOptions cpu = o.cpu;
  cpu.packed_weights = packed_in_training;
  Device device = rehearsal_device(cpu);
  TrainModel m = make_train_model(r, data, device, false);
  if (device.memory().in_use < large) device = Device::cpu(cpu), m = make_train_model(r, data, device, false);
  MemoryPlan plan;
  Keep keep;
  if (masters_on_disk(r)) m.trained.keep_masters(m.dtype, keep = kept_nowhere(plan.scratch));
  plan.weights = tensor_bytes(m.trained), plan.gradients = f32_bytes(m.trained);
  const std::size_t before_states = device.memory().in_use;
  const std::unique_ptr<Optimizer> optimizer = make_optimizer(r, m.trained, keep);
  plan.moments = device.memory().in_use - before_states;
  plan.ema = r.number("train.ema") > 0 ? plan.gradients : 0;
  plan.frozen = frozen_bytes(m.vae) + frozen_bytes(m.unet) + frozen_bytes(m.text_encoder);
  std::uint64_t most = 0;
  const auto stage = [&](const std::function<void()>& work) {  // what it had in use above what was there before
    device.reset_peak_memory();
    const std::size_t before = device.memory().in_use;
    work();
    most = std::max<std::uint64_t>(most, device.memory().peak);
    return std::uint64_t(device.memory().peak - before);
  };

  const bool unet = trains_unet(r), own = unet && r.boolean("train.recompute");
  if (unet)
    plan.encoding = stage([&] {
      const Tensor x = cast(normal(Rng{1}, {pictures_at_once(m.side), m.side, m.side, 3}, device), m.dtype);
      tiles_latents(r, m) ? tiled_encode(*m.vae.model, x) : m.vae.model->encode(x);
    });
  if (m.judge.there() && m.vae.there())
    plan.encoding = stage([&] { m.vae.model->decode(m.vae.model->encode(cast(normal(Rng{1}, {16, m.side, m.side, 3}, device), m.dtype)).mean); });
  if (unet && m.text_encoder.frozen)
    stage([&] { (*m.text_encoder.model)(zeros({64, m.text_encoder.config.max_position_embeddings}, DType::i64, device)); });
  std::vector<UNet> references;  // those that are in memory at once
  std::vector<Params> numbers;
  if (needs_reference(r))
    for (Index i = 0; i < std::min(r.integer("preference.loaded"), drawn_by(r, data.size()).references); ++i) {
      plan.reference += unet_bytes(m);
      Params& made = numbers.emplace_back(device, Rng{6});
      references.push_back(m.lora ? with_adapters(m, made) : UNet(made, m.unet.config));
      numbers.back().frozen().compute_in(m.dtype);
      std::uint64_t none = 0;
      if (masters_on_disk(r)) numbers.back().keep_masters(m.dtype, kept_nowhere(none));
    }
  if (!references.empty() && objective_named(r.text("objective")).second == SecondImage::self_sampled) {
    const Index n = r.integer("sampling.batch") * (r.number("sampling.guidance") > 1 ? 2 : 1);
    plan.sampling = stage([&] {
      for (int i = 0; i < 2; ++i)  // twice: then kernels keep packed weights of each
        for (const UNet& reference : references)
          reference(cast(normal(Rng{1}, batch_of(m, n), device), m.dtype), full({n}, 1, DType::f32, device), cast(text_like(r, m, n, device), m.dtype));
    });
  }
  plan.training = stage([&] {
    for (int i = 0; i < (m.lora ? 2 : 1); ++i) optimizer->step(step_like(r, m, references, device));  // weights that stay are kept packed from their second use on
    for (int i = 0; i < 2 && references.size() > 1; ++i) step_like(r, m, references, device, true);
  });
  plan.peak = most + plan.ema + kept_rows(r, m, data);
  plan.peak += plan.peak / 33;  // three in a hundred for what lives beside a step: the batch, its terms
  (own ? plan.recomputed : plan.plain) = plan.training;
  if (o.both && unet) {
    m.unet.model->recompute_blocks(!own);
    (own ? plan.plain : plan.recomputed) = stage([&] { step_like(r, m, references, device); });
    m.unet.model->recompute_blocks(own);
  }
  return plan;
}

std::uint64_t cache_bytes(const Recipe& r, const TrainModel& m, const TrainData& data) {
  std::uint64_t bytes = 0;
  if (trains_unet(r)) bytes += std::uint64_t(data.size()) * 2 * std::uint64_t(m.latent.numel()) * 4;
  if (trains_unet(r) && m.text_encoder.frozen)
    bytes += std::uint64_t(data.size() + 1) * std::uint64_t(m.text_encoder.config.max_position_embeddings * m.text_encoder.config.hidden_size) * 4;
  if (m.judge.there() && m.vae.there()) bytes += std::uint64_t(data.size() * m.side * m.side) * 3 * 4;  // seen through the autoencoder
  return bytes;
}

std::uint64_t disk_bytes(const Recipe& r, const TrainModel& m, const TrainData& data) {
  const std::uint64_t trained = f32_bytes(m.trained), states = state_bytes(r, m.trained), checkpoint = trained * (r.number("train.ema") > 0 ? 2 : 1) + states;
  const std::uint64_t latent = std::uint64_t(m.latent.numel()) * 4, frozen = frozen_bytes(m.vae) + frozen_bytes(m.unet) + frozen_bytes(m.text_encoder);
  std::uint64_t bytes = checkpoint * std::uint64_t(r.integer("train.keep") + 1) + trained + frozen + (masters_on_disk(r) ? trained + states : 0) + cache_bytes(r, m, data);
  if (r.kind() == preference && (needs_reference(r) || r.boolean("preference.keep_phases"))) bytes += std::uint64_t(r.integer("preference.phases")) * trained;
  bytes += drawn_by(r, data.size()).pictures * latent;
  return bytes;
}

std::size_t bytes_of(const std::string& text) {
  char* end = nullptr;
  const double n = std::strtod(text.c_str(), &end);
  const std::string unit = end, units = "KMGT";
  double scale = 1;
  if (!unit.empty()) {
    const std::size_t at = units.find(char(std::toupper(static_cast<unsigned char>(unit[0]))));
    const std::string rest = unit.substr(1);
    scale = at == units.npos || (!rest.empty() && rest != "iB" && rest != "B") ? 0 : std::pow(1024.0, double(at + 1));
  }
  if (end == text.c_str() || !(n * scale >= 1 && n * scale < 9e18))
    fail({.op = "--max-memory", .what = "no amount of memory", .expected = "bytes, or 512M, 4G", .got = text}, Site{});
  return std::size_t(n * scale);
}

void require_memory(const MemoryPlan& plan, std::size_t limit) {
  if (plan.peak <= limit) return;
  const auto mib = [](std::uint64_t b) { return fmt::format("{:.1f} MiB", double(b) / (1 << 20)); };
  fail({.op = "--max-memory", .what = "the plan needs more", .expected = mib(plan.peak) + " or more", .got = mib(limit),
        .hint = "a smaller train.micro_batch, train.recompute = true, or train.ema = 0; see sspo plan"}, Site{});
}

namespace {
// So many captioned pictures, pairs among them, of which there is nothing to see.
TrainData imagined_data(Index samples) {
  TrainData data;
  data.captions.resize(std::size_t(samples));
  data.pairs = true;
  return data;
}
}  // namespace

void plan(const PlanCommand& o) {
  if (is_eval_recipe(o.recipe)) return plan_eval(o);
  const Recipe r = read_recipe(o.recipe, o.settings);
  const CpuOptions cpu{.threads = o.threads, .isa = o.isa};
  const Device device = rehearsal_device(cpu);
  const TrainData data = o.samples ? imagined_data(o.samples) : open_train_data(r, [](const std::string& line) { fmt::print(stderr, "{}\n", io::printable(line, 4096)); });
  TrainModel m = make_train_model(r, data, device, false);
  const MemoryPlan p = plan_memory(r, data, {.both = true, .cpu = cpu});
  const Index B = r.integer("train.batch"), steps = r.kind() == preference ? r.integer("preference.phases") * r.integer("preference.updates") : r.integer("train.steps");
  const std::uint64_t pictures = drawn_by(r, data.size()).pictures;
  // A gradient costs a forward pass and about two of its size, one where the weights are frozen; pairs are two images, and the
  // reference sees both.
  const double forward = m.judge.there() ? judge_flops(m, device) : trains_unet(r) ? unet_flops(r, m, device) : vae_flops(m, device);
  const double gradient = m.lora ? 2 : 3, passes = needs_reference(r) ? 2 * gradient + 2 : gradient, again = trains_unet(r) && r.boolean("train.recompute") ? (needs_reference(r) ? 2 : 1) : 0;
  const double training = double(steps) * double(B) * (passes + again) * forward;
  const double sampling = pictures ? double(pictures) * double(r.integer("sampling.steps")) * (r.number("sampling.guidance") > 1 ? 2 : 1) * forward : 0;
  const std::uint64_t disk = disk_bytes(r, m, data);
  const std::vector<Place> places = places_for(o, data, p.peak);
  if (o.json) {
    io::Json fits = io::Json::array();
    for (const Place& place : places)
      fits.push_back({{"where", place.name}, {"bytes", place.bytes}, {"fits", place.fits()}, {"with", place.settings}, {"takes", place.fits() ? place.peak : place.then}});
    fmt::print("{}\n", io::Json{{"objective", r.text("objective")}, {"steps", steps}, {"batch", B}, {"samples", data.size()}, {"parameters", m.trained.numel()},
                                {"bytes", {{"weights", p.weights}, {"frozen", p.frozen}, {"gradients", p.gradients}, {"moments", p.moments}, {"ema", p.ema}, {"scratch", p.scratch}, {"reference", p.reference},
                                           {"step", p.training}, {"step_plain", p.plain}, {"step_recompute", p.recomputed}, {"sampling", p.sampling}, {"encoding", p.encoding}, {"peak", p.peak}}},
                                {"flop", {{"forward", forward}, {"training", training}, {"sampling", sampling}}}, {"pictures", pictures}, {"disk_bytes", disk}, {"places", fits}}.dump(2));
  } else {
    const auto row = [](const char* what, std::uint64_t bytes, const char* note = "") { if (bytes) fmt::print("  {:<12}{:>12.1f} MiB  {}\n", what, double(bytes) / (1 << 20), note); };
    fmt::print("{}: {} steps of {}, {} samples, {} trained parameters\nmemory\n", r.text("objective"), steps, B, data.size(), m.trained.numel());
    const bool on_disk = masters_on_disk(r);
    const double numbers = double(m.trained.numel());
    row("weights", p.weights, on_disk ? "bf16: 2 bytes a parameter; their f32 masters are on disk" : "f32 masters: 4 bytes a parameter");
    row("frozen", p.frozen, "parts that are not trained");
    row("moments", p.moments, fmt::format("{}'s: {:.2f} bytes a parameter", r.text("optimizer.kind"), double(p.moments) / numbers).c_str());
    row("average", p.ema);
    row("reference", p.reference);
    row("a step", p.training, fmt::format("its gradients ({:.1f} MiB, 4 bytes a parameter), activations, temporaries", double(p.gradients) / (1 << 20)).c_str());
    if (p.plain && p.recomputed) row(p.plain == p.training ? "  recomputed" : "  plain", p.plain == p.training ? p.recomputed : p.plain, p.plain == p.training ? "a step with train.recompute = true" : "a step without recompute");
    row("sampling", p.sampling, "in place of a step, between phases");
    row("encoding", p.encoding, "in place of a step, at the start");
    row("peak", p.peak);
    fmt::print("arithmetic\n  {:<12}{:>12.3f} TFLOP\n", "training", training * 1e-12);
    if (pictures) fmt::print("  {:<12}{:>12.3f} TFLOP  {} pictures\n", "sampling", sampling * 1e-12, pictures);
    fmt::print("disk\n");
    row("scratch", p.scratch, fmt::format("masters and the states of {}: {:.2f} bytes a parameter, read and written in each step", r.text("optimizer.kind"), double(p.scratch) / numbers).c_str());
    fmt::print("  {:<12}{:>12.1f} MiB\n", "at most", double(disk) / (1 << 20));
    const auto gib = [](std::uint64_t bytes) { return fmt::format("{:.1f} GiB", double(bytes) / double(std::uint64_t(1) << 30)); };
    fmt::print("fits (memory as planned for the CPU's kernels)\n");
    for (const Place& place : places) {
      if (place.fits()) fmt::print("  {:<24} yes, {} to spare\n", place.name, gib(place.bytes - place.peak));
      else if (place.then) fmt::print("  {:<24} no, over by {}; yes at {} with --set {}\n", place.name, gib(place.peak - place.bytes), gib(place.then), fmt::join(place.settings, " --set "));
      else fmt::print("  {:<24} no, over by {}; no setting is known that makes it fit\n", place.name, gib(place.peak - place.bytes));
    }
  }
  if (!o.max_memory.empty()) require_memory(p, bytes_of(o.max_memory));
}

}  // namespace sspo::cli
