// bench_demo_models: our side of bench/demo_models.py. The folder holds vae, unet, text_encoder and scheduler as diffusers saved them, and inputs.safetensors.
//   bench_demo_models DIR train|preference|sampling|vae-train|vae-decode THREADS SECONDS [ops|shapes]
// One line of JSON: see timing.hpp. `check` is the loss of the first step, or the mean square of the result.
#include <cstring>
#include <memory>

#include "sspo/models/clip_text.hpp"
#include "sspo/models/unet.hpp"
#include "sspo/models/vae.hpp"
#include "sspo/models/weights.hpp"
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

template <class Model>
struct Loaded {
  Params params;
  Model model;
  Loaded(const std::string& dir, const typename Model::Config& config, const Device& device)
      : params(load_params<Model>(config, dir, {}, {.device = device})), model(params, config) {}
};

struct Inputs {
  io::Safetensors file;
  Device device;
  Tensor operator()(const char* name) const { return contiguous(file.load(name, device)); }
  Tensor nhwc(const char* name) const { return contiguous(permute(file.load(name, device), {0, 2, 3, 1})); }
  std::vector<Index> times(const char* name) const { return file.load(name, device).to_vector<std::int64_t>(); }
};

double number(const Tensor& x) { return cast(detach(x), DType::f64).item<double>(); }

// spec of diffusers' train_text_to_image, text encoder along: L = mean |eps - f(x_t, t, states(ids))|²
Work train(const std::string& dir, const Inputs& in, const Device& device) {
  struct Parts {
    Loaded<UNet> unet;
    Loaded<ClipText> text;
    AdamW unet_adamw, text_adamw;
    Tensor x, noise, t, ids;
  };
  const auto p = std::make_shared<Parts>(Parts{{dir + "/unet", load_unet_config(dir + "/unet/config.json"), device},
                                               {dir + "/text_encoder", load_clip_text_config(dir + "/text_encoder/config.json"), device},
                                               AdamW{Params{}, adamw_options}, AdamW{Params{}, adamw_options},
                                               in.nhwc("sample"), in.nhwc("noise"), cast(in("timestep"), DType::f32), in("ids")});
  p->unet_adamw = AdamW(p->unet.params, adamw_options), p->text_adamw = AdamW(p->text.params, adamw_options);
  return {[q = p.get()] {
            const Tensor loss = mse(q->unet.model(q->x, q->t, q->text.model(q->ids).last_hidden_state), q->noise);
            const Gradients g = backward(loss);
            q->unet_adamw.step(g), q->text_adamw.step(g);
            return number(loss);
          }, p};
}

// SSPO as the trainer does it: the gradient's norm, clipping, AdamW.
Work preference(const std::string& dir, const Inputs& in, const Device& device) {
  struct Parts {
    Loaded<UNet> policy, reference;
    AdamW adamw;
    NoiseSchedule schedule;
    PairBatch batch;
  };
  const UNetConfig config = load_unet_config(dir + "/unet/config.json");
  const auto p = std::make_shared<Parts>(Parts{{dir + "/unet", config, device}, {dir + "/reference", config, device}, AdamW{Params{}, adamw_options},
                                               NoiseSchedule(load_scheduler_config(dir + "/scheduler/scheduler_config.json", SchedulerKind::ddim)),
                                               {.latents_w = in.nhwc("winners"), .latents_r = in.nhwc("seconds"), .noise_w = in.nhwc("pair_noise"),
                                                .timesteps = in.times("pair_timestep"), .text = in("pair_text")}});
  p->reference.params.frozen();
  p->adamw = AdamW(p->policy.params, adamw_options);
  return {[q = p.get()] {
            const StepReport r = preference_step(q->adamw, std::cref(q->policy.model), std::cref(q->reference.model), q->batch, q->schedule,
                                                 objective_named("sspo"), {{}, {.kappa = 100}});
            return number(r.terms.loss);
          }, p};
}

// Five DDIM steps of 64 prompts with guidance 3: 128 samples a call.
Work sampling(const std::string& dir, const Inputs& in, const Device& device) {
  struct Parts {
    Loaded<UNet> unet;
    SchedulerConfig scheduler;
    Tensor x, text, negative;
  };
  const auto p = std::make_shared<Parts>(Parts{{dir + "/unet", load_unet_config(dir + "/unet/config.json"), device},
                                               load_scheduler_config(dir + "/scheduler/scheduler_config.json", SchedulerKind::ddim), in.nhwc("start"), in("text"), in("negative")});
  p->unet.params.frozen();
  return {[q = p.get()] {
            const Tensor z = sample_latents(std::cref(q->unet.model), make_scheduler(q->scheduler, 5), q->x, q->text, q->negative, {.guidance = 3});
            return number(mean(square(z)));
          }, p};
}

struct Vae {
  Loaded<Autoencoder> vae;
  AdamW adamw;
  Tensor pictures, noise, latents;
};

std::shared_ptr<Vae> load_vae(const std::string& dir, const Inputs& in, const Device& device) {
  return std::make_shared<Vae>(Vae{{dir + "/vae", load_vae_config(dir + "/vae/config.json"), device}, AdamW{Params{}, adamw_options},
                                   in.nhwc("pictures"), in.nhwc("posterior"), in.nhwc("latents")});
}

// L = |d| + d² + 1e-6 KL
Work vae_train(const std::string& dir, const Inputs& in, const Device& device) {
  const auto p = load_vae(dir, in, device);
  p->adamw = AdamW(p->vae.params, adamw_options);
  return {[q = p.get()] {
            const Moments m = q->vae.model.encode(q->pictures);
            const Tensor d = q->vae.model.decode(sample(m, q->noise)) - q->pictures;
            const Tensor loss = mean(abs(d)) + mean(square(d)) + 0.5e-6 * mean(square(m.mean) + exp(m.logvar) - 1.0 - m.logvar);
            q->adamw.step(backward(loss));
            return number(loss);
          }, p};
}

Work vae_decode(const std::string& dir, const Inputs& in, const Device& device) {
  const auto p = load_vae(dir, in, device);
  p->vae.params.frozen();
  return {[q = p.get()] { return number(mean(square(q->vae.model.decode(q->latents)))); }, p};
}

struct Named {
  const char* name;
  Work (*make)(const std::string&, const Inputs&, const Device&);
};
constexpr Named works[] = {{"train", train}, {"preference", preference}, {"sampling", sampling}, {"vae-train", vae_train}, {"vae-decode", vae_decode}};

}  // namespace

int main(int argc, char** argv) {
  const std::string name = argc > 2 ? argv[2] : "", what = argc > 5 ? argv[5] : "";
  const Named* const found = std::find_if(std::begin(works), std::end(works), [&](const Named& w) { return name == w.name; });
  if (argc < 5 || found == std::end(works)) {
    std::fprintf(stderr, "usage: bench_demo_models DIR train|preference|sampling|vae-train|vae-decode THREADS SECONDS [ops|shapes]\n");
    return 64;
  }
  try {
    const std::string dir = argv[1];
    const Device device = Device::cpu({.threads = std::atoi(argv[3])});
    const Work work = found->make(dir, {io::Safetensors(dir + "/inputs.safetensors"), device}, device);
    reset_peak_rss();
    const double loaded = peak_rss(), check = work.once();
    const auto again = [&] { work.once(); };
    if (what.empty()) print_times(again, std::atof(argv[4]), device, loaded, check);
    else print_ops(again, device, what == "shapes");
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 65;
  }
}
