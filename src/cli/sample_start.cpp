#include "cli/sample_start.hpp"

#include <fmt/format.h>

#include <limits>

#include "cli/layout.hpp"
#include "cli/lines.hpp"
#include "cli/normals.hpp"
#include "sspo/io/safetensors.hpp"

namespace sspo::cli {
namespace {

std::vector<std::string> prompts_of(const SampleOptions& o) {
  const std::vector<std::string> texts = o.prompts_file.empty() ? std::vector<std::string>{o.prompt} : read_texts(o.prompts_file);
  std::vector<std::string> prompts;
  for (const std::string& text : texts) prompts.insert(prompts.end(), std::size_t(o.images), text);
  return prompts;
}

// Each text alone: see each_alone in sample.cpp.
Tensor states_of(const StableDiffusion& sd, const std::vector<std::string>& texts) {
  Tensors states;
  for (std::size_t i = 0; i < texts.size(); ++i) states.push_back(i && texts[i] == texts[i - 1] ? states.back() : sd.encode({texts[i]}));
  return cat(states, 0);
}

Tensor rows(const Tensor& x, Index first, Index count) { return slice(x, 0, first, first + count); }

// [S, B, C, h, w] -> some rows of one step, [count, h, w, C]
Tensor step_of(const Tensor& noise, Index call, Index first, Index count) {
  const Tensor step = slice(slice(noise, 0, call, call + 1), 1, first, first + count);
  return to_nhwc(reshape(contiguous(step), {count, noise.dim(2), noise.dim(3), noise.dim(4)}));
}

}  // namespace

Pictures pictures_from_prompts(const SampleOptions& o, const StableDiffusion& sd, const Device& device) {
  const Index step = sd.vae.config().downscale(), own = sd.unet.config().sample_size * step;
  const Index height = o.height ? o.height : own, width = o.width ? o.width : own;
  if (height % step || width % step)
    fail({.op = "sample", .what = "the size does not fit the autoencoder", .expected = "multiples of " + std::to_string(step), .got = fmt::format("{} x {}", width, height)}, Site{});
  const std::vector<std::string> prompts = prompts_of(o);
  const Shape all{Index(prompts.size()), height / step, width / step, sd.unet.config().in_channels};
  const auto start = [&o, &sd, device, prompts, all](Index first, Index count) {
    // One stream of numbers for the whole run, as diffusers draws it for a list of prompts; each batch takes its rows.
    const auto normals = std::make_shared<Normals>(o.rng, o.seed);
    Start s;
    s.latents = rows(normals->next(all, device), first, count);
    s.noise = [=](Index) { return rows(normals->next(all, device), first, count); };
    s.text = states_of(sd, {prompts.begin() + first, prompts.begin() + first + count});
    s.negative = states_of(sd, std::vector<std::string>(std::size_t(count), o.negative_prompt));
    return s;
  };
  return {Index(prompts.size()), height / step, width / step, prompts, std::numeric_limits<Index>::max(), start};
}

Pictures pictures_from_file(const SampleOptions& o, DType dtype, const Device& device) {
  const io::Safetensors file(o.latents);
  const auto wrong = [&](const char* name, const std::string& expected, const Tensor& x) { io::bad_file({.path = o.latents, .field = name}, "the tensor does not fit", expected, x.str()); };
  const auto load = [&](const char* name, int rank) {
    const Tensor x = file.load(name, device);
    if (x.rank() != rank || !is_floating(x.dtype())) wrong(name, fmt::format("floating point, {} axes", rank), x);
    return x;
  };
  const Tensor latents = load("latents", 4), text = load("encoder_hidden_states", 3);
  const Tensor negative = o.guidance > 1 ? load("negative_encoder_hidden_states", 3) : text;
  const Tensor noise = file.find("step_noise") ? cast(load("step_noise", 5), DType::f32) : Tensor{};
  const Index B = latents.dim(0);
  if (B == 0) wrong("latents", "a row or more", latents);
  if (text.dim(0) != B) wrong("encoder_hidden_states", fmt::format("{} rows, as latents has", B), text);
  if (negative.shape() != text.shape()) wrong("negative_encoder_hidden_states", text.shape().str() + ", as encoder_hidden_states", negative);
  if (noise && noise.shape() != Shape{noise.dim(0), B, latents.dim(1), latents.dim(2), latents.dim(3)})
    wrong("step_noise", "[steps, ...] of latents' shape " + latents.shape().str(), noise);
  const Start all{to_nhwc(cast(latents, DType::f32)), cast(text, dtype), cast(negative, dtype), {}};
  const auto start = [all, noise](Index first, Index count) {
    Start s{rows(all.latents, first, count), rows(all.text, first, count), rows(all.negative, first, count), {}};
    if (noise) s.noise = [=](Index call) { return step_of(noise, call, first, count); };
    return s;
  };
  return {B, latents.dim(2), latents.dim(3), {}, noise ? noise.dim(0) : 0, start};
}

}  // namespace sspo::cli
