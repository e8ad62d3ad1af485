#include "cli/sample_model.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "cli/convert.hpp"
#include "cli/lora.hpp"

namespace sspo::cli {

SchedulerConfig as_in_a_pipeline(SchedulerConfig c) {
  c.steps_offset = 1;
  if (c.kind == SchedulerKind::ddpm || c.kind == SchedulerKind::ddim) c.clip_sample = false;
  return c;
}

Denoiser each_alone(const UNet& unet, Index pictures) {
  return [&unet, pictures](const Tensor& x, const Tensor& t, const Tensor& text) {
    const auto of = [&](const Tensor& all, Index i) {  // row i of each half
      Tensors parts;
      for (Index row = i; row < all.dim(0); row += pictures) parts.push_back(slice(all, 0, row, row + 1));
      return cat(parts, 0);
    };
    std::vector<Tensors> halves(std::size_t(x.dim(0) / pictures));
    for (Index i = 0; i < pictures; ++i) {
      const Tensor out = unet(of(x, i), of(t, i), of(text, i));
      for (std::size_t h = 0; h < halves.size(); ++h) halves[h].push_back(slice(out, 0, Index(h), Index(h) + 1));
    }
    Tensors all;
    for (const Tensors& half : halves) all.insert(all.end(), half.begin(), half.end());
    return cat(all, 0);
  };
}

StableDiffusion load_sample_model(const SampleOptions& o, LoadOptions options, std::optional<SchedulerKind> kind) {
  std::vector<std::pair<Lora, double>> loras;  // small files first
  for (const std::string& text : o.loras) {
    const LoraArgument a = lora_argument(text);
    loras.emplace_back(open_lora(a.path), a.scale);
  }
  std::vector<LoraChange> changes(loras.size());
  options.changed = [&](std::string_view component, Params& params) {
    for (std::size_t i = 0; i < loras.size(); ++i)
      for (const auto& [name, part] : {std::pair{"unet", LoraPart::unet}, {"text_encoder", LoraPart::text_encoder}})
        if (component == name) add_lora(loras[i].first, loras[i].second, part, params, changes[i]);
  };
  StableDiffusion sd = std::filesystem::is_regular_file(o.model) ? load_pipeline(open_single_file(o.model, o.file), tokenizer_for(o.model, o.tokenizer), options, kind)
                                                    : StableDiffusion::load(o.model, {.variant = o.variant}, options, kind);
  for (std::size_t i = 0; i < loras.size(); ++i) {
    require_some(changes[i], loras[i].first);
    fmt::print(stderr, "{}\n", lora_text(loras[i].first, loras[i].second, changes[i]));
  }
  return sd;
}

}  // namespace sspo::cli
