// What tests/cli/run drives the program with: tiny models, as healthy and as broken as users meet them.
//   make_model DIR       writes into DIR
//     tiny/              a pipeline, its UNet also as variant fp16
//     sharded/           its UNet in several files and an index
//     wide/              a pipeline of 32 groups and 8 heads, as fit in one file; kohya.safetensors, wrong.safetensors: LoRAs for it
//     nan/ renamed/      pipelines whose UNet holds a NaN; has a tensor under another name
//     start.safetensors  latents, text states and step noise for three pictures
//     unet.safetensors   inputs of the UNet and a cotangent
//     pairs.safetensors  a batch of three pairs; poisoned.safetensors: the same with a NaN
//     clip.safetensors   pixel_values and input_ids for the small CLIP in tests/golden/clip, and a cotangent of its embeds
//     weights/ other/ ill/  a small CLIP in clipscore/: one, another one, one that holds a NaN; weights/imagereward/ but for its vocab.txt, of 870 tokens
//     names.safetensors  a tensor and metadata with control characters in their names
#include <cstdio>
#include <filesystem>
#include <limits>

#include "sspo/io/image.hpp"
#include "sspo/io/model_dir.hpp"
#include "sspo/models/blip.hpp"
#include "sspo/models/bpe_trainer.hpp"
#include "sspo/models/clip.hpp"
#include "sspo/models/stable_diffusion.hpp"

using namespace sspo;

namespace {

const char* const unet_json = R"({"_class_name": "UNet2DConditionModel", "sample_size": 8, "block_out_channels": [8, 16],
  "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
  "layers_per_block": 1, "attention_head_dim": 2, "cross_attention_dim": 16, "norm_num_groups": 4})";
const char* const vae_json = R"({"_class_name": "AutoencoderKL", "sample_size": 16, "block_out_channels": [8, 16], "layers_per_block": 1, "norm_num_groups": 4,
  "latent_channels": 4, "scaling_factor": 0.18215, "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"],
  "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"]})";
const char* const text_json = R"({"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "vocab_size": 560, "hidden_size": 16,
  "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 16, "eos_token_id": 559})";

const char* const wide_unet_json = R"({"_class_name": "UNet2DConditionModel", "sample_size": 8, "block_out_channels": [32, 64],
  "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
  "layers_per_block": 1, "attention_head_dim": 8, "cross_attention_dim": 64, "norm_num_groups": 32})";
const char* const wide_vae_json = R"({"_class_name": "AutoencoderKL", "sample_size": 16, "block_out_channels": [32, 64], "layers_per_block": 1, "norm_num_groups": 32,
  "latent_channels": 4, "scaling_factor": 0.18215, "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"],
  "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"]})";
const char* const wide_text_json = R"({"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "vocab_size": 560, "hidden_size": 64,
  "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1, "max_position_embeddings": 16, "eos_token_id": 559})";

const std::vector<std::string> captions = {"a red circle", "a red square", "a blue circle", "a blue square above a red circle", "circles and squares, red and blue"};

const char* const clip_json = R"({"model_type": "clip", "projection_dim": 12,
  "text_config": {"model_type": "clip_text_model", "vocab_size": 560, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 16,
                  "projection_dim": 12, "hidden_act": "quick_gelu", "eos_token_id": 559},
  "vision_config": {"model_type": "clip_vision_model", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16, "patch_size": 8,
                    "projection_dim": 12, "hidden_act": "quick_gelu"}})";

template <class Model>
std::vector<io::NamedTensor> weights(const typename Model::Config& config, const Rng& rng) {
  Params params(Device::cpu(), rng);
  Model(params, config);
  return to_checkpoint(params);
}

void write_pipeline(const std::string& dir, const std::vector<io::NamedTensor>& unet, const char* unet_config = unet_json, const char* vae = vae_json, const char* text = text_json) {
  const Rng rng{1};
  io::save_component(dir + "/unet", unet_config, "diffusion_pytorch_model", unet);
  io::save_component(dir + "/vae", vae, "diffusion_pytorch_model", weights<Autoencoder>(read_vae_config(vae, {.path = "vae"}), rng / "vae"));
  io::save_component(dir + "/text_encoder", text, "model", weights<ClipText>(read_clip_text_config(text, {.path = "text"}), rng / "text"));
  for (const char* part : {"/tokenizer", "/scheduler"}) std::filesystem::create_directories(dir + part);
  train_bpe(captions, {.size = 560, .max_length = 16}).save(dir + "/tokenizer");
  io::write_file(dir + "/scheduler/scheduler_config.json", write_scheduler_config({.kind = SchedulerKind::pndm, .beta_start = 0.00085, .beta_end = 0.012,
                                                                                   .beta_schedule = BetaSchedule::scaled_linear, .skip_prk_steps = true}));
  io::write_file(dir + "/model_index.json", io::write_model_index({.class_name = "StableDiffusionPipeline",
                                                                    .components = {{"unet", {"diffusers", "UNet2DConditionModel"}},
                                                                                   {"vae", {"diffusers", "AutoencoderKL"}},
                                                                                   {"text_encoder", {"transformers", "CLIPTextModel"}},
                                                                                   {"tokenizer", {"transformers", "CLIPTokenizer"}},
                                                                                   {"scheduler", {"diffusers", "PNDMScheduler"}},
                                                                                   {"safety_checker", {"stable_diffusion", "StableDiffusionSafetyChecker"}}}}));
}

// What clipscore takes: any CLIP, and a tokenizer beside it.
void write_clip(const std::string& folder, const Rng& rng, bool ill = false) {
  const ClipConfig config = read_clip_config(clip_json, {.path = "clip"});
  std::vector<io::NamedTensor> tensors = weights<ClipVision>(*config.vision, rng / "vision");
  for (const io::NamedTensor& t : weights<ClipTextTower>(*config.text, rng / "text")) tensors.push_back(t);
  tensors.push_back({"logit_scale", full({}, 3)});
  for (io::NamedTensor& t : tensors)
    if (ill && t.name == "visual_projection.weight") t.tensor = full(t.tensor.shape(), std::numeric_limits<double>::quiet_NaN());
  io::save_component(folder, clip_json, "model", tensors);
  train_bpe(captions, {.size = 560, .max_length = 16}).save(folder);
}

void write_image_reward(const std::string& folder, const Rng& rng) {
  const char* const json = R"({"model_type": "bert", "hidden_act": "gelu", "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 1, "num_attention_heads": 3, "vocab_size": 870,
    "max_position_embeddings": 48, "layer_norm_eps": 1e-12, "pad_token_id": 0, "type_vocab_size": 2, "encoder_width": 768, "add_cross_attention": true})";
  ImageRewardConfig config{.vision = {.image_size = 32, .hidden_size = 64, .intermediate_size = 128, .num_hidden_layers = 1, .num_attention_heads = 1}, .text = read_bert_config(json, {.path = "med"})};
  config.text.encoder_width = config.vision.hidden_size;
  std::filesystem::create_directories(folder);
  io::write_file(folder + "/med_config.json", json);
  io::save_safetensors(folder + "/ImageReward.safetensors", weights<ImageReward>(config, rng));
}

void write_all(const std::string& dir) {
  const Rng rng{7};
  write_clip(dir + "/weights/clipscore", rng / "clip"), write_clip(dir + "/other/clipscore", rng / "another clip"), write_clip(dir + "/ill/clipscore", rng / "clip", true);
  write_image_reward(dir + "/weights/imagereward", rng / "reward");
  const std::vector<io::NamedTensor> unet = weights<UNet>(read_unet_config(unet_json, {.path = "unet"}), rng / "unet");
  write_pipeline(dir + "/tiny", unet);
  write_pipeline(dir + "/wide", weights<UNet>(read_unet_config(wide_unet_json, {.path = "unet"}), rng / "wide"), wide_unet_json, wide_vae_json, wide_text_json);
  const std::string q = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.", v = "lora_te_text_model_encoder_layers_0_self_attn_v_proj.";
  std::vector<io::NamedTensor> lora = {{q + "lora_down.weight", normal(rng / "qd", {2, 64})}, {q + "lora_up.weight", normal(rng / "qu", {32, 2})}, {q + "alpha", full({}, 1)},
                                       {v + "lora_down.weight", normal(rng / "vd", {2, 64})}, {v + "lora_up.weight", normal(rng / "vu", {64, 2})}, {v + "hada_w1_a", zeros({1})}};
  io::save_safetensors(dir + "/kohya.safetensors", lora);
  lora[0].tensor = zeros({2, 768});
  io::save_safetensors(dir + "/wrong.safetensors", lora);
  std::vector<io::NamedTensor> half = unet, poisoned = unet, renamed = unet;
  for (io::NamedTensor& t : half) t.tensor = cast(t.tensor, DType::f16);
  io::save_safetensors(dir + "/tiny/unet/diffusion_pytorch_model.fp16.safetensors", half, {{"format", "pt"}});
  io::save_component(dir + "/sharded", unet_json, "diffusion_pytorch_model", unet, {.max_file_bytes = 20'000});
  for (io::NamedTensor& t : poisoned)
    if (t.name == "conv_out.bias") t.tensor = full(t.tensor.shape(), std::numeric_limits<double>::quiet_NaN());
  write_pipeline(dir + "/nan", poisoned);
  for (io::NamedTensor& t : renamed)
    if (t.name == "conv_in.weight") t.name = "conv_inn.weight";
  write_pipeline(dir + "/renamed", renamed);

  io::save_safetensors(dir + "/start.safetensors", {{"latents", normal(rng / "latents", {3, 4, 8, 8})},
                                                    {"encoder_hidden_states", normal(rng / "text", {3, 16, 16})},
                                                    {"negative_encoder_hidden_states", normal(rng / "negative", {3, 16, 16})},
                                                    {"step_noise", normal(rng / "noise", {4, 3, 4, 8, 8})}});
  io::save_safetensors(dir + "/clip.safetensors", {{"pixel_values", normal(rng / "pixels", {2, 3, 6, 6})}, {"input_ids", randint(rng / "ids", {2, 5}, 0, 20)},
                                                   {"grad_output", normal(rng / "embeds", {2, 6})}});
  io::save_safetensors(dir + "/unet.safetensors", {{"sample", normal(rng / "sample", {1, 4, 8, 8})},
                                                   {"timestep", full({1}, 500, DType::i64)},
                                                   {"encoder_hidden_states", normal(rng / "states", {1, 16, 16})},
                                                   {"grad_output", normal(rng / "cotangent", {1, 4, 8, 8})}});
  std::vector<io::NamedTensor> pairs = {{"latents_w", normal(rng / "w", {3, 4, 8, 8})},
                                        {"latents_r", normal(rng / "r", {3, 4, 8, 8})},
                                        {"noise_w", normal(rng / "eps", {3, 4, 8, 8})},
                                        {"timesteps", Tensor::from<std::int64_t>({20, 500, 999}, {3})},
                                        {"encoder_hidden_states", normal(rng / "prompts", {3, 16, 16})}};
  io::save_safetensors(dir + "/pairs.safetensors", pairs);
  pairs[0].tensor = full({3, 4, 8, 8}, std::numeric_limits<double>::quiet_NaN());
  io::save_safetensors(dir + "/poisoned.safetensors", pairs);
  io::save_safetensors(dir + "/names.safetensors", {{"red\n\x1b[31mtext", zeros({2, 3})}}, {{"author", "line one\nline two"}});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_model DIR\n");
    return 64;
  }
  try {
    write_all(argv[1]);
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
