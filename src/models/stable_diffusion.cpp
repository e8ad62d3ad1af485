#include "sspo/models/stable_diffusion.hpp"

#include <filesystem>

#include "sspo/ops/create.hpp"

namespace sspo {

namespace fs = std::filesystem;

std::string component_folder(const std::string& dir, const std::string& name) {
  const fs::path inside = fs::path(dir) / name;
  return fs::exists(inside / "config.json") ? inside.string() : dir;
}

StableDiffusion StableDiffusion::load(const std::string& dir, const io::WeightsOptions& from, const LoadOptions& options, std::optional<SchedulerKind> kind) {
  const auto in = [&](const char* name) { return (fs::path(dir) / name).string(); };
  // All small files first: what is wrong with them shows before gigabytes are read.
  const ClipTextConfig text = load_clip_text_config(in("text_encoder/config.json"));
  const UNetConfig unet = load_unet_config(in("unet/config.json"));
  const VaeConfig vae = load_vae_config(in("vae/config.json"));
  const SchedulerConfig scheduler = load_scheduler_config(in("scheduler/scheduler_config.json"), kind);
  ClipTokenizer tokenizer = ClipTokenizer::open(in("tokenizer"));
  const auto mismatch = [&](const std::string& what, Index expected, Index got) {
    fail({.op = dir, .what = what, .expected = std::to_string(expected), .got = std::to_string(got), .kind = ErrorKind::file}, Site{});
  };
  if (unet.cross_attention_dim[0] != text.hidden_size)
    mismatch("the UNet's cross_attention_dim is not the text encoder's hidden_size", text.hidden_size, unet.cross_attention_dim[0]);
  if (unet.in_channels != vae.latent_channels) mismatch("the UNet's in_channels are not the autoencoder's latent_channels", vae.latent_channels, unet.in_channels);
  if (tokenizer.size() > text.vocab_size) mismatch("the tokenizer has more tokens than the text encoder", text.vocab_size, tokenizer.size());
  return {std::move(tokenizer), load_component<ClipText>(in("text_encoder"), text, from, options, "text_encoder"), load_component<UNet>(in("unet"), unet, from, options, "unet"),
          load_component<Autoencoder>(in("vae"), vae, from, options, "vae"), scheduler};
}

Tensor StableDiffusion::encode(const std::vector<std::string>& prompts) const {
  const int length = int(text_encoder.config().max_position_embeddings);
  std::vector<std::int32_t> ids;
  for (const std::string& prompt : prompts) {
    const std::vector<std::int32_t> one = tokenizer.padded(prompt, length);
    ids.insert(ids.end(), one.begin(), one.end());
  }
  const Tensor x = Tensor::from(ids, {Index(prompts.size()), length}, text_encoder.device());
  return text_encoder(x).last_hidden_state;
}

Tensor StableDiffusion::decode(const Tensor& latents, std::optional<VaeTiles> tiles) const {
  const Tensor z = cast(from_model(latents, vae.config()), vae.dtype());
  return clamp(cast(tiles ? tiled_decode(vae, z, *tiles) : vae.decode(z), DType::f32), -1, 1);
}

}  // namespace sspo
