// From a prompt to a picture: Stable Diffusion, whole, in miniature.
// Learned here: a pipeline is a plain struct of five parts; text becomes ids, ids become states, noise becomes latents under
// guidance, latents become pixels. Nothing is trained, so the picture is noise of a kind; `sspo sample` draws with real weights.
#include <sspo/io/image.hpp>
#include <sspo/models/bpe_trainer.hpp>
#include <sspo/models/stable_diffusion.hpp>

#include <cstdio>

using namespace sspo;

int main() {
  const Rng rng{42};

  // 1. Words. A vocabulary of its own, learned from what there is to read; Stable Diffusion brings CLIP's.
  const std::vector<std::string> captions = {"a lighthouse in fog", "a light in the house", "fog over a lighthouse", "a house in the fog"};
  const ClipTokenizer tokenizer = train_bpe(captions, {.size = 560});

  // 2. Networks. Those that load Stable Diffusion 1.5: a size is a config, the weights come from a seed here.
  Params text_params(Device::cpu(), rng / "text"), unet_params(Device::cpu(), rng / "unet"), vae_params(Device::cpu(), rng / "vae");
  const StableDiffusion sd{
      tokenizer,
      ClipText(text_params, {.vocab_size = tokenizer.size(), .hidden_size = 32, .intermediate_size = 64, .num_hidden_layers = 2, .num_attention_heads = 4,
                             .eos_token_id = tokenizer.end()}),
      UNet(unet_params, {.sample_size = 16, .block_out_channels = {16, 32}, .down_attention = {true, false}, .up_attention = {false, true}, .layers_per_block = {1, 1},
                         .transformer_layers = {1, 1}, .heads = {2, 2}, .cross_attention_dim = {32, 32}, .norm_num_groups = 8}),
      Autoencoder(vae_params, {.block_out_channels = {16, 32}, .layers_per_block = 1, .norm_num_groups = 8}),
      {.kind = SchedulerKind::dpmpp_2m, .beta_start = 0.00085, .beta_end = 0.012, .beta_schedule = BetaSchedule::scaled_linear}};

  // 3. Text to states.
  const std::string prompt = "a lighthouse in fog";
  std::printf("'%s' is", prompt.c_str());
  for (const std::int32_t id : tokenizer.encode(prompt)) std::printf(" %d:%s", id, tokenizer.token(id).c_str());
  const Tensor text = sd.encode({prompt}), none = sd.encode({""});                      // [1, 77, 32]
  std::printf("\nstates  %s\n", text.str().c_str());

  // 4. Noise to latents: ten calls of the UNet, away from what it says without the prompt.
  const Tensor noise = normal(rng / "noise", {1, 16, 16, 4});
  const Tensor z = sample_latents(std::cref(sd.unet), make_scheduler(sd.scheduler, 10), noise, text, none, {.guidance = 7.5});  // [1, 16, 16, 4]
  std::printf("latents %s, root mean square %.3f\n", z.str().c_str(), double(sqrt(mean(square(z))).item<float>()));

  // 5. Latents to pixels, with a note for those who ask the file.
  const io::Image picture = io::to_images(sd.decode(z)).front();                          // 32 x 32
  io::write_png("05_generate.png", picture, {{"parameters", prompt + "\nSteps: 10, Sampler: dpmpp_2m, CFG scale: 7.5, Seed: 42"}});
  const io::ImageInfo written = io::read_image_info("05_generate.png");
  std::printf("05_generate.png, %lld x %lld\n", static_cast<long long>(written.width), static_cast<long long>(written.height));
  return written.width == 32 && max(abs(z)).item<float>() < 1e3f ? 0 : 1;                 // a NaN is not less than anything
}
