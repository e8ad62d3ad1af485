// bench_models: our side of demo_models.py and sd15.py. The folder holds unet, vae, text_encoder, clip and scheduler as diffusers and
// transformers saved them.
//   bench_models DIR INPUTS.safetensors WORK f32|bf16 THREADS SECONDS [ops|shapes]
// One line of JSON: see timing.hpp. `check` is the loss of the first step, or the mean square of the result. With bf16, weights that
// are trained are f32 and lent as bf16, others are held as bf16.
#include <cstring>
#include <memory>

#include "sspo/models/clip.hpp"
#include "sspo/models/unet.hpp"
#include "sspo/models/vae.hpp"
#include "sspo/models/weights.hpp"
#include "sspo/nn/lora.hpp"
#include "sspo/ops/all.hpp"
#include "sspo/train/preference.hpp"
#include "timing.hpp"

using namespace sspo;
using namespace sspo::bench;

namespace {

constexpr AdamW::Options adamw_options{.lr = 1e-4};

struct Work {
  std::function<double()> once;   // the loss, or what else shows that it was done
  std::shared_ptr<void> keeps;    // models and inputs
};

struct Inputs {
  io::Safetensors file;
  Device device;
  DType dtype;
  Tensor ids(const char* name) const { return contiguous(file.load(name, device)); }
  Tensor operator()(const char* name) const { return cast(ids(name), dtype); }
  Tensor nhwc(const char* name) const { return cast(contiguous(permute(file.load(name, device), {0, 2, 3, 1})), dtype); }
  std::vector<Index> times(const char* name) const { return file.load(name, device).to_vector<std::int64_t>(); }
};

enum class Weights { trained, frozen };

template <class Model>
struct Loaded {
  Params params;
  Model model;
  Loaded(const std::string& dir, const typename Model::Config& config, const Inputs& in, Weights weights)
      : params(load_params<Model>(config, dir, {}, {.dtype = weights == Weights::frozen ? in.dtype : DType::f32, .device = in.device})), model(params, config) {
    if (weights == Weights::frozen) params.frozen();
    else if (in.dtype != DType::f32) params.compute_in(in.dtype);
  }
};

Loaded<UNet> load_unet(const std::string& dir, const Inputs& in, Weights weights) { return {dir, load_unet_config(dir + "/config.json"), in, weights}; }
Loaded<ClipText> load_text(const std::string& dir, const Inputs& in, Weights weights) { return {dir, load_clip_text_config(dir + "/config.json"), in, weights}; }

double number(const Tensor& x) { return cast(detach(x), DType::f64).item<double>(); }
double mean_square(const Tensor& x) { return number(mean(square(cast(x, DType::f32)))); }

// spec of diffusers' train_text_to_image: L = mean |eps - f(x_t, t, states)|²
Work train(const std::string& dir, const Inputs& in) {
  struct Parts {
    Loaded<UNet> unet;
    AdamW adamw;
    Tensor x, noise, t, states;
  };
  const auto p = std::make_shared<Parts>(Parts{load_unet(dir + "/unet", in, Weights::trained), AdamW{Params{}, adamw_options},
                                               in.nhwc("sample"), in.nhwc("noise"), cast(in.ids("timestep"), DType::f32), in("states")});
  p->adamw = AdamW(p->unet.params, adamw_options);
  return {[q = p.get()] {
            const Tensor loss = mse(q->unet.model(q->x, q->t, q->states), q->noise);
            q->adamw.step(backward(loss));
            return number(loss);
          }, p};
}

// The same, text encoder along.
Work train_text(const std::string& dir, const Inputs& in) {
  struct Parts {
    Loaded<UNet> unet;
    Loaded<ClipText> text;
    AdamW unet_adamw, text_adamw;
    Tensor x, noise, t, ids;
  };
  const auto p = std::make_shared<Parts>(Parts{load_unet(dir + "/unet", in, Weights::trained), load_text(dir + "/text_encoder", in, Weights::trained),
                                               AdamW{Params{}, adamw_options}, AdamW{Params{}, adamw_options},
                                               in.nhwc("sample"), in.nhwc("noise"), cast(in.ids("timestep"), DType::f32), in.ids("ids")});
  p->unet_adamw = AdamW(p->unet.params, adamw_options), p->text_adamw = AdamW(p->text.params, adamw_options);
  return {[q = p.get()] {
            const Tensor loss = mse(q->unet.model(q->x, q->t, q->text.model(q->ids).last_hidden_state), q->noise);
            const Gradients g = backward(loss);
            q->unet_adamw.step(g), q->text_adamw.step(g);
            return number(loss);
          }, p};
}

// SSPO as the trainer does it: the gradient's norm, clipping, AdamW (or the same with moments of 8 bits).
struct Preference {
  NoiseSchedule schedule;
  PairBatch batch;
  std::unique_ptr<Optimizer> optimizer;
  Preference(const std::string& dir, const Inputs& in)
      : schedule(load_scheduler_config(dir + "/scheduler/scheduler_config.json", SchedulerKind::ddim)),
        batch{.latents_w = in.nhwc("winners"), .latents_r = in.nhwc("seconds"), .noise_w = in.nhwc("pair_noise"), .timesteps = in.times("pair_timestep"), .text = in("pair_text")} {}
  double step(const UNet& policy, const UNet& reference) {
    return number(preference_step(*optimizer, std::cref(policy), std::cref(reference), batch, schedule, objective_named("sspo"), {{}, {.kappa = 100}}).terms.loss);
  }
};

template <class Optimizer>
Work preference(const std::string& dir, const Inputs& in) {
  struct Parts : Preference {
    Loaded<UNet> policy, reference;
    Parts(const std::string& d, const Inputs& i) : Preference(d, i), policy(load_unet(d + "/unet", i, Weights::trained)), reference(load_unet(d + "/reference", i, Weights::frozen)) {}
  };
  const auto p = std::make_shared<Parts>(dir, in);
  p->optimizer = std::make_unique<Optimizer>(p->policy.params, adamw_options);
  return {[q = p.get()] { return q->step(q->policy.model, q->reference.model); }, p};
}

// The same of adapters of rank 8 upon one frozen copy of the weights; the reference is without them.
Work preference_lora(const std::string& dir, const Inputs& in) {
  struct Parts : Preference {
    Loaded<UNet> base;
    Params numbers;
    nn::Adapters adapters;
    UNet policy;
    Parts(const std::string& d, const Inputs& i)
        : Preference(d, i), base(load_unet(d + "/unet", i, Weights::frozen)), numbers(i.device, Rng{0}), adapters(numbers, {.rank = 8, .alpha = 8}),
          policy(Scope(base.params, "").with(adapters), base.model.config()) {}
  };
  const auto p = std::make_shared<Parts>(dir, in);
  p->optimizer = std::make_unique<AdamW>(p->numbers, adamw_options);
  return {[q = p.get()] { return q->step(q->policy, q->base.model); }, p};
}

// One call of the UNet.
Work forward(const std::string& dir, const Inputs& in) {
  struct Parts {
    Loaded<UNet> unet;
    Tensor x, t, states;
  };
  const auto p = std::make_shared<Parts>(Parts{load_unet(dir + "/unet", in, Weights::frozen), in.nhwc("sample"), cast(in.ids("timestep"), DType::f32), in("states")});
  return {[q = p.get()] { return mean_square(q->unet.model(q->x, q->t, q->states)); }, p};
}

// Five DDIM steps of 64 prompts with guidance 3: 128 samples a call.
Work sampling(const std::string& dir, const Inputs& in) {
  struct Parts {
    Loaded<UNet> unet;
    SchedulerConfig scheduler;
    Tensor x, text, negative;
  };
  const auto p = std::make_shared<Parts>(Parts{load_unet(dir + "/unet", in, Weights::frozen),
                                               load_scheduler_config(dir + "/scheduler/scheduler_config.json", SchedulerKind::ddim), in.nhwc("start"), in("text"), in("negative")});
  return {[q = p.get()] {
            return mean_square(sample_latents(std::cref(q->unet.model), make_scheduler(q->scheduler, 5), q->x, q->text, q->negative, {.guidance = 3}));
          }, p};
}

Loaded<Autoencoder> load_vae(const std::string& dir, const Inputs& in, Weights weights) { return {dir, load_vae_config(dir + "/config.json"), in, weights}; }

// L = |d| + d² + 1e-6 KL
Work vae_train(const std::string& dir, const Inputs& in) {
  struct Parts {
    Loaded<Autoencoder> vae;
    AdamW adamw;
    Tensor pictures, noise;
  };
  const auto p = std::make_shared<Parts>(Parts{load_vae(dir + "/vae", in, Weights::trained), AdamW{Params{}, adamw_options}, in.nhwc("pictures"), in.nhwc("posterior")});
  p->adamw = AdamW(p->vae.params, adamw_options);
  return {[q = p.get()] {
            const Moments m = q->vae.model.encode(q->pictures);
            const Tensor d = q->vae.model.decode(sample(m, q->noise)) - q->pictures;
            const Tensor loss = mean(abs(d)) + mean(square(d)) + 0.5e-6 * mean(square(m.mean) + exp(m.logvar) - 1.0 - m.logvar);
            q->adamw.step(backward(loss));
            return number(loss);
          }, p};
}

Work vae_decode(const std::string& dir, const Inputs& in) {
  struct Parts {
    Loaded<Autoencoder> vae;
    Tensor latents;
  };
  const auto p = std::make_shared<Parts>(Parts{load_vae(dir + "/vae", in, Weights::frozen), in.nhwc("latents")});
  return {[q = p.get()] { return mean_square(q->vae.model.decode(q->latents)); }, p};
}

Work text(const std::string& dir, const Inputs& in) {
  struct Parts {
    Loaded<ClipText> text;
    Tensor ids;
  };
  const auto p = std::make_shared<Parts>(Parts{load_text(dir + "/text_encoder", in, Weights::frozen), in.ids("ids")});
  return {[q = p.get()] { return mean_square(q->text.model(q->ids).last_hidden_state); }, p};
}

// Pictures to points of CLIP's space, as scorers do it.
Work clip_image(const std::string& dir, const Inputs& in) {
  struct Parts {
    Loaded<ClipVision> vision;
    Tensor pixels;
  };
  const auto p = std::make_shared<Parts>(Parts{{dir + "/clip", *load_clip_config(dir + "/clip/config.json").vision, in, Weights::frozen}, in.nhwc("pixel_values")});
  return {[q = p.get()] { return mean_square(q->vision.model.embed(q->pixels)); }, p};
}

constexpr std::size_t in_training = 128u << 20;  // of packed weights, as `sspo train` has it

struct Named {
  const char* name;
  Work (*make)(const std::string&, const Inputs&);
  std::size_t packed_weights = SIZE_MAX;
};
constexpr Named works[] = {{"forward", forward}, {"train", train, in_training}, {"train-text", train_text, in_training}, {"preference", preference<AdamW>, in_training},
                           {"preference-8bit", preference<AdamW8bit>, in_training}, {"preference-lora", preference_lora, in_training},
                           {"sampling", sampling}, {"vae-train", vae_train, in_training}, {"vae-decode", vae_decode}, {"text", text}, {"clip-image", clip_image}};

}  // namespace

int main(int argc, char** argv) {
  const std::string name = argc > 3 ? argv[3] : "", dtype = argc > 4 ? argv[4] : "", what = argc > 7 ? argv[7] : "";
  const Named* const found = std::find_if(std::begin(works), std::end(works), [&](const Named& w) { return name == w.name; });
  if (argc < 7 || found == std::end(works) || (dtype != "f32" && dtype != "bf16")) {
    std::fprintf(stderr, "usage: bench_models DIR INPUTS.safetensors WORK f32|bf16 THREADS SECONDS [ops|shapes]\nWORK is one of:");
    for (const Named& w : works) std::fprintf(stderr, " %s", w.name);
    std::fprintf(stderr, "\n");
    return 64;
  }
  try {
    const Device device = Device::cpu({.threads = std::atoi(argv[5]), .packed_weights = found->packed_weights});
    const double start = seconds_now();
    const Work work = found->make(argv[1], {io::Safetensors(argv[2]), device, dtype == "f32" ? DType::f32 : DType::bf16});
    const Load load{.seconds = seconds_now() - start, .rss = rss(), .peak = peak_rss()};
    reset_peak_rss();
    const double check = work.once();
    const auto again = [&] { work.once(); };
    if (what.empty()) print_times(again, std::atof(argv[6]), device, load, check);
    else print_ops(again, device, what == "shapes");
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 65;
  }
}
