// bench_tiny_unet: our side of bench/tiny_unet.py. The folder holds a UNet as diffusers saved it and inputs.safetensors
// (sample, noise [B, 4, H, W], timestep [B], encoder_hidden_states [B, N, D]).
//   bench_tiny_unet DIR forward|train|latency THREADS SECONDS [ops]
// One line of JSON: min and median seconds of an execution, the least seconds of CPU, bytes, and what shows that the work was done: the loss of the first
// training step, and for forward DIR/output.safetensors. With `ops`: seconds an execution by op instead, from a Trace.
#include <cstring>

#include "sspo/models/unet.hpp"
#include "sspo/models/weights.hpp"
#include "sspo/ops/all.hpp"
#include "sspo/train/optimizer.hpp"
#include "timing.hpp"

using namespace sspo;
using namespace sspo::bench;

namespace {

struct Inputs {
  Tensor x, noise, t, text;
  Inputs(const std::string& dir, Index batch, const Device& device) {
    const io::Safetensors file(dir + "/inputs.safetensors");
    const auto load = [&](const char* name) { return slice(file.load(name, device), 0, 0, batch); };
    const auto nhwc = [](const Tensor& nchw) { return contiguous(permute(nchw, {0, 2, 3, 1})); };
    x = nhwc(load("sample")), noise = nhwc(load("noise"));
    t = contiguous(load("timestep")), text = contiguous(load("encoder_hidden_states"));
  }
};

int run(const std::string& dir, const std::string& name, int threads, double seconds, bool ops) {
  const Device device = Device::cpu({.threads = threads});
  const double start = seconds_now();
  const UNetConfig config = load_unet_config(dir + "/config.json");
  Params params = load_params<UNet>(config, dir, {}, {.device = device});
  const UNet unet(params, config);
  const Inputs in(dir, name == "latency" ? 1 : 32, device);
  const Load load{.seconds = seconds_now() - start, .rss = rss(), .peak = peak_rss()};
  reset_peak_rss();
  std::function<void()> work;
  double loss = 0;
  std::optional<AdamW> adamw;
  if (name == "train") {
    adamw.emplace(params, AdamW::Options{.lr = 1e-4});
    const auto step = [&] {
      const Tensor l = mse(unet(in.x, in.t, in.text), in.noise);
      adamw->step(backward(l));
      return l;
    };
    loss = step().item<float>();
    work = [step] { step(); };
  } else {
    params.frozen();
    const Tensor y = unet(in.x, in.t, in.text);
    if (name == "forward") io::save_safetensors(dir + "/output.safetensors", {{"sample", contiguous(permute(y, {0, 3, 1, 2}))}});
    work = [&] { unet(in.x, in.t, in.text); };
  }
  if (ops) print_ops(work, device);
  else print_times(work, seconds, device, load, loss);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string name = argc > 2 ? argv[2] : "";
  if (argc < 5 || (name != "forward" && name != "train" && name != "latency")) {
    std::fprintf(stderr, "usage: bench_tiny_unet DIR forward|train|latency THREADS SECONDS [ops]\n");
    return 64;
  }
  try {
    return run(argv[1], name, std::atoi(argv[3]), std::atof(argv[4]), argc > 5 && std::strcmp(argv[5], "ops") == 0);
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 65;
  }
}
