#include "cli/recipe.hpp"
#include "sspo/train/objective.hpp"

namespace sspo::cli {
namespace {

using enum KeyType;

std::vector<std::string> objective_names() {
  std::vector<std::string> names = {"pretrain-vae", "pretrain", "judge"};
  for (const Objective& o : objectives()) names.emplace_back(o.name);
  return names;
}
std::vector<std::string> gates_of_sspo() { return {gate_names().begin(), gate_names().end()}; }

std::vector<RecipeKey> make_keys() {
  constexpr double most = 1e15, share = 1;
  const std::vector<std::string> samplers = {"ddpm", "ddim", "pndm", "euler", "euler_ancestral", "dpmpp_2m"};
  return {
      {"objective", choice, "null", "what is trained, and by which loss", all_kinds, 0, 0, objective_names()},
      {"seed", integer, "0", "the run is a function of it", all_kinds, 0, 9.2e18},

      {"model.path", text, "\"\"", "pipeline folder to start from; parts with a section of their own below start anew"},
      {"model.unet.sample_size", integer, "null", "rows and columns of the latents", all_kinds, 1, 4096},
      {"model.unet.in_channels", integer, "null", "of the latents", all_kinds, 1, 1024},
      {"model.unet.out_channels", integer, "null", "of the latents", all_kinds, 1, 1024},
      {"model.unet.block_out_channels", integers, "null", "width of each block", all_kinds, 1, 65536},
      {"model.unet.down_block_types", texts, "null", "DownBlock2D or CrossAttnDownBlock2D"},
      {"model.unet.up_block_types", texts, "null", "UpBlock2D or CrossAttnUpBlock2D"},
      {"model.unet.layers_per_block", integer, "null", "ResNets a block", all_kinds, 1, 64},
      {"model.unet.transformer_layers_per_block", integer, "null", "", all_kinds, 1, 64},
      {"model.unet.attention_head_dim", integer, "null", "the number of heads, as in diffusers' configs", all_kinds, 1, 4096},
      {"model.unet.cross_attention_dim", integer, "null", "the text encoder's hidden_size", all_kinds, 1, 65536},
      {"model.unet.norm_num_groups", integer, "null", "", all_kinds, 1, 65536},
      {"model.unet.use_linear_projection", boolean, "null", ""},
      {"model.vae.sample_size", integer, "null", "pixels", all_kinds, 1, 16384},
      {"model.vae.latent_channels", integer, "null", "", all_kinds, 1, 1024},
      {"model.vae.block_out_channels", integers, "null", "width of each block; each but the first halves rows and columns", all_kinds, 1, 65536},
      {"model.vae.layers_per_block", integer, "null", "", all_kinds, 1, 64},
      {"model.vae.norm_num_groups", integer, "null", "", all_kinds, 1, 65536},
      {"model.vae.scaling_factor", number, "null", "latents are multiplied by it; pretrain-vae measures it", all_kinds, 1e-12, 1e12},
      {"model.text_encoder.hidden_size", integer, "null", "", all_kinds, 1, 65536},
      {"model.text_encoder.intermediate_size", integer, "null", "", all_kinds, 1, 262144},
      {"model.text_encoder.num_hidden_layers", integer, "null", "", all_kinds, 1, 1024},
      {"model.text_encoder.num_attention_heads", integer, "null", "", all_kinds, 1, 4096},
      {"model.text_encoder.max_position_embeddings", integer, "null", "tokens a caption", all_kinds, 2, 65536},
      {"model.text_encoder.hidden_act", choice, "null", "", all_kinds, 0, 0, {"quick_gelu", "gelu"}},
      {"model.tokenizer.size", integer, "null", "tokens of a vocabulary learned from the captions", all_kinds, 514, 1048576},
      {"model.judge.style_channels", integers, "null", "of its classifier of styles: width of each convolution, every other of which halves the picture", judge, 8, 4096},
      {"model.judge.picture_channels", integers, "null", "of its tower of pictures", judge, 8, 4096},
      {"model.judge.features", integer, "null", "of a picture: what distances are measured in", judge, 1, 65536},
      {"model.judge.embedding", integer, "null", "what pictures and captions are compared in", judge, 1, 65536},
      {"model.judge.token_width", integer, "null", "", judge, 1, 65536},
      {"model.judge.max_tokens", integer, "null", "of a caption, start and end included", judge, 3, 4096},
      {"model.scheduler.kind", choice, "null", "sampler the model is exported with", all_kinds, 0, 0, samplers},
      {"model.scheduler.num_train_timesteps", integer, "null", "", all_kinds, 2, 100000},
      {"model.scheduler.beta_start", number, "null", "", all_kinds, 0, 1},
      {"model.scheduler.beta_end", number, "null", "", all_kinds, 0, 1},
      {"model.scheduler.beta_schedule", choice, "null", "", all_kinds, 0, 0, {"linear", "scaled_linear", "squaredcos_cap_v2"}},
      {"model.scheduler.prediction_type", choice, "null", "what the model tells", all_kinds, 0, 0, {"epsilon", "v_prediction", "sample"}},

      {"data.kind", choice, "\"folder\"", "folder: pictures with captions; shapes: generated scenes, those of sspo data shapes", all_kinds, 0, 0, {"folder", "shapes"}},
      {"data.path", text, "\"\"", "imagefolder with metadata.jsonl, or captions beside the pictures; Parquet or tars (WebDataset), a file or a folder of shards"},
      {"data.where", texts, "null", "only rows of which all this holds: [\"style=noto\", \"quarter!=1\"]"},
      {"data.count", integer, "256", "generated scenes", all_kinds, 1, 1e8},
      {"data.seed", integer, "0", "of the generated scenes", all_kinds, 0, 9.2e18},
      {"data.size", integer, "0", "pixels; 0: what the model is made for", all_kinds, 0, 16384},
      {"data.flip", number, "0", "share of pictures that are mirrored", pretrain_vae, 0, share},
      {"data.drop_caption", number, "0.1", "share of captions left out", pretrain | preference, 0, share},
      {"data.keyword", number, "0", "share of captions that get one of the row's keywords as well", pretrain | judge, 0, share},
      {"data.cache", text, "\"\"", "folder of latents and states of captions that several runs share; empty: the run's own", pretrain | judge | preference},
      {"data.vae_tiling", boolean, "false", "pictures larger than the autoencoder was made for are encoded in overlapping tiles: less memory, other latents near the seams", pretrain | preference},
      {"data.skip_bad", integer, "0", "bad samples that are told and passed over", all_kinds, 0, most},

      {"train.steps", integer, "1000", "updates", pretrain_vae | pretrain | judge, 1, most},
      {"train.batch", integer, "32", "samples an update", all_kinds, 1, 1e7},
      {"train.micro_batch", integer, "0", "samples at once, a divisor of the batch; 0: all", all_kinds, 0, 1e7},
      {"train.dtype", choice, "\"f32\"", "arithmetic; masters are f32 always", all_kinds, 0, 0, {"f32", "bf16"}},
      {"train.masters", choice, "\"memory\"", "of train.dtype bf16: the f32 masters and the optimizer's states in memory, or on disk, read and written in each step", pretrain_vae | pretrain | preference, 0, 0, {"memory", "disk"}},
      {"train.recompute", boolean, "false", "activations are computed again in the backward pass: less memory, more time", pretrain | preference},
      {"train.clip_norm", number, "1", "bound of the gradient's norm; 0: none", all_kinds, 0, 1e12},
      {"train.ema", number, "0", "decay of the average of the weights, which is exported then; 0: none", all_kinds, 0, 0.9999999},
      {"train.skip_z", number, "0", "a gradient norm so many standard deviations above the recent mean changes nothing; 0: none", all_kinds, 0, 1e6},
      {"train.skip_after", integer, "20", "norms seen before one is skipped", all_kinds, 2, most},
      {"train.save_every", integer, "100", "steps between checkpoints", all_kinds, 1, most},
      {"train.keep", integer, "2", "checkpoints that stay", all_kinds, 1, 1e6},
      {"train.watchdog_s", number, "300", "seconds without progress before the run is ended; 0: no watch", all_kinds, 0, 1e9},

      {"optimizer.kind", choice, "\"adamw\"", "adamw8bit: moments of 2 bytes a parameter in place of 8; adafactor: one of rows and columns alone", all_kinds, 0, 0, {"adamw", "adamw8bit", "adafactor"}},
      {"optimizer.lr", number, "0.0001", "learning rate", all_kinds, 0, 1e3},
      {"optimizer.beta1", number, "0.9", "", all_kinds, 0, 0.9999999},
      {"optimizer.beta2", number, "0.999", "", all_kinds, 0, 0.9999999},
      {"optimizer.eps", number, "1e-8", "", all_kinds, 0, 1},
      {"optimizer.weight_decay", number, "0.01", "decoupled", all_kinds, 0, 1e3},
      {"optimizer.clip_threshold", number, "1", "adafactor: bound of the root mean square of a parameter's update, before the rate", all_kinds, 0, 1e6, {}, true},
      {"optimizer.decay_rate", number, "-0.8", "adafactor: at step t the second moment's share of old is 1 - t^decay_rate", all_kinds, -1, 0},
      {"optimizer.scale_parameter", boolean, "false", "adafactor: the rate is times the parameter's root mean square"},
      {"lr.schedule", choice, "\"constant\"", "after the warm-up", all_kinds, 0, 0, {"constant", "linear", "cosine"}},
      {"lr.end", number, "0", "share of the rate at the last step", all_kinds, 0, share},
      {"lr.warmup", integer, "0", "steps of linear warm-up", all_kinds, 0, most},
      {"lr.warmup_share", number, "0", "the same as a share of all steps", all_kinds, 0, share},

      {"lora.rank", integer, "0", "of low-rank changes, which are trained in place of the UNet's weights; 0: the weights themselves", pretrain | preference, 0, 65536},
      {"lora.alpha", number, "null", "changes are multiplied by alpha / rank; default: rank", pretrain | preference, 0, 1e6, {}, true},
      {"lora.targets", texts, "[\"to_q\", \"to_k\", \"to_v\", \"to_out.0\"]", "modules of the UNet, by the ends of their names: conv1, attn2.to_k", pretrain | preference},
      {"lora.merge", boolean, "true", "model/ is exported, too, with the changes in its weights; false: lora/ alone", pretrain | preference},

      {"vae.l1", number, "1", "weight of |x - y|", pretrain_vae, 0, 1e6},
      {"vae.mse", number, "1", "weight of (x - y)²", pretrain_vae, 0, 1e6},
      {"vae.edges", number, "0.5", "weight of the same for differences of neighbouring pixels", pretrain_vae, 0, 1e6},
      {"vae.kl", number, "0.0001", "weight of the KL divergence from a standard normal, a latent element", pretrain_vae, 0, 1e6},

      {"pretrain.train_text_encoder", boolean, "true", "along with the UNet", pretrain},

      {"judge.style", number, "1", "weight of the cross entropy of styles", judge, 0, 1e6},
      {"judge.caption", number, "1", "weight of the contrast of pictures and captions", judge, 0, 1e6},
      {"judge.through_vae", number, "0.5", "share of pictures seen through the autoencoder, as a model's own are; 0 without one", judge, 0, share},
      {"judge.shift", integer, "2", "most pixels that pictures are moved by", judge, 0, 64},
      {"judge.held_out", texts, "[\"split=held-out\"]", "the rows it is tested on, in the manner of data.where", judge},
      {"judge.test_every", integer, "50", "steps between such tests; 0: at the end alone", judge, 0, most},

      {"preference.phases", integer, "7", "K", preference, 1, 1e6},
      {"preference.updates", integer, "30", "a phase", preference, 1, 1e9},
      {"preference.prompts", integer, "0", "winners taken in a phase, each sampled for once; 0: all", preference, 0, 1e9},
      {"preference.beta", number, "2000", "strength, Diffusion-DPO's: kappa = beta / 2", preference, 0, 1e12, {}, true},
      {"preference.kappa", number, "null", "scale of the differences of mean errors, in place of beta", preference, 0, 1e12, {}, true},
      {"preference.eta", number, "null", "weight of the winner's error in dpo+sft; default: kappa", preference, 0, 1e12},
      {"preference.gate", choice, "\"sign\"", "s of sspo", preference, 0, 0, gates_of_sspo()},
      {"preference.tie", choice, "\"zero\"", "s where both do equally well", preference, 0, 0, {"zero", "plus"}},
      {"preference.reference", choice, "null", "which checkpoint is a phase's reference; default: the objective's own", preference, 0, 0, {"uniform", "initial", "latest"}},
      {"preference.draw", choice, "\"phase\"", "how often the reference is drawn: once a phase, for each batch, or for each sample", preference, 0, 0, {"phase", "batch", "sample"}},
      {"preference.loaded", integer, "2", "references held in memory at once, where a phase has several", preference, 1, 1e6},
      {"preference.own_noise", boolean, "false", "independent noise for the second image", preference},
      {"preference.keep_phases", boolean, "false", "the pool keeps the checkpoint of every phase, drawn or not: to be measured later", preference},
      {"sampling.scheduler", choice, "null", "of the self-samples; default: the model's own", preference, 0, 0, samplers},
      {"sampling.steps", integer, "50", "", preference, 1, 100000},
      {"sampling.guidance", number, "7.5", "1: the prompt alone", preference, 0, 1000},
      {"sampling.eta", number, "0", "ddim: share of fresh noise", preference, 0, share},
      {"sampling.batch", integer, "8", "samples side by side", preference, 1, 1e6},
  };
}

}  // namespace

const std::vector<RecipeKey>& recipe_keys() {
  static const std::vector<RecipeKey> keys = make_keys();
  return keys;
}

}  // namespace sspo::cli
