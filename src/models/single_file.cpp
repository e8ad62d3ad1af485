#include "sspo/models/single_file.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <unordered_set>

#include "io/json.hpp"

namespace sspo {
namespace {

namespace fs = std::filesystem;
using io::Json;
using Names = std::vector<std::pair<std::string, std::string>>;  // diffusers', the file's

constexpr const char *unet_prefix = "model.diffusion_model.", *vae_prefix = "first_stage_model.", *text_prefix = "cond_stage_model.transformer.";

// LDM's averages keep their names without dots: model_ema.diffusion_modelinput_blocks00weight.
std::string ema_name(std::string name) {
  name = "diffusion_model." + name;
  name.erase(std::remove(name.begin(), name.end(), '.'), name.end());
  return "model_ema." + name;
}

// The tensors of one component, by their names below its prefix.
class Section {
 public:
  Section(const io::Weights& weights, const std::string& path, std::string prefix, bool ema = false) : weights_(weights), path_(path), prefix_(std::move(prefix)), ema_(ema) {}
  std::string full(const std::string& name) const { return ema_ ? ema_name(name) : prefix_ + name; }
  bool has(const std::string& name) const { return weights_.has(full(name)); }
  Index extent(const std::string& name, std::size_t axis) const { return Index(shape(name, axis + 1).at(axis)); }
  std::size_t rank(const std::string& name) const { return shape(name, 0).size(); }
  // How many of base.0.end, base.1.end, ... there are.
  Index count(const std::string& base, const std::string& end) const {
    Index n = 0;
    while (has(base + std::to_string(n) + end)) ++n;
    return n;
  }

 private:
  const std::vector<std::uint64_t>& shape(const std::string& name, std::size_t axes) const {
    const io::StoredTensor* t = weights_.find(full(name));
    if (!t) io::bad_file({.path = path_, .field = full(name)}, "is missing: this is no Stable Diffusion 1.x in one file");
    if (t->shape.size() < axes || std::any_of(t->shape.begin(), t->shape.end(), [](std::uint64_t e) { return e > 1u << 24; }))
      io::bad_file({.path = path_, .field = full(name)}, "a shape that no such model has", {}, t->str());
    return t->shape;
  }
  const io::Weights& weights_;
  const std::string& path_;
  std::string prefix_;
  bool ema_;
};

Json unet_json(const Section& s, const Section& vae, const SingleFileOptions& o) {
  std::vector<Index> channels, layers, transformers;
  std::vector<bool> down;
  Index in_level = 0, width = 0, depth = 0;
  const auto close = [&] {
    channels.push_back(width), layers.push_back(in_level), down.push_back(depth > 0), transformers.push_back(std::max<Index>(depth, 1));
    in_level = depth = 0;
  };
  for (Index k = 1;; ++k) {
    const std::string block = "input_blocks." + std::to_string(k) + ".";
    if (s.has(block + "0.in_layers.2.weight")) {
      width = s.extent(block + "0.in_layers.2.weight", 0);
      if (s.has(block + "1.norm.weight")) depth = s.count(block + "1.transformer_blocks.", ".norm1.weight");
      ++in_level;
    } else if (in_level && s.has(block + "0.op.weight")) {
      close();
    } else {
      break;
    }
  }
  if (in_level) close();
  std::vector<std::string> down_types, up_types;
  for (const bool attends : down) down_types.push_back(attends ? "CrossAttnDownBlock2D" : "DownBlock2D");
  Index k = 0;
  for (std::size_t b = channels.size(); b-- > 0; k += layers[b] + 1) up_types.push_back(s.has("output_blocks." + std::to_string(k) + ".1.norm.weight") ? "CrossAttnUpBlock2D" : "UpBlock2D");
  Index side = o.size;  // of the latents: the autoencoder halves it once a level but the last
  for (Index b = 1; side > 1 && vae.has("encoder.down." + std::to_string(b) + ".block.0.conv1.weight"); ++b) side /= 2;
  const std::string middle = "middle_block.1.";
  const bool mid = s.has("middle_block.0.in_layers.2.weight");
  const Index text = s.extent(middle + "transformer_blocks.0.attn2.to_k.weight", 1);
  Json json = {{"_class_name", "UNet2DConditionModel"}, {"_diffusers_version", "0.6.0"}, {"act_fn", "silu"}, {"attention_head_dim", o.heads}, {"block_out_channels", channels},
               {"center_input_sample", false}, {"cross_attention_dim", text}, {"down_block_types", down_types}, {"downsample_padding", 1}, {"flip_sin_to_cos", true},
               {"freq_shift", 0}, {"in_channels", s.extent("input_blocks.0.0.weight", 1)}, {"layers_per_block", layers.empty() ? 1 : layers[0]}, {"mid_block_scale_factor", 1},
               {"norm_eps", 1e-5}, {"norm_num_groups", 32}, {"out_channels", s.extent("out.2.weight", 0)}, {"sample_size", side}, {"up_block_types", up_types},
               {"use_linear_projection", s.rank(middle + "proj_in.weight") == 2}};
  if (std::any_of(layers.begin(), layers.end(), [&](Index n) { return n != layers[0]; })) json["layers_per_block"] = layers;
  if (std::any_of(transformers.begin(), transformers.end(), [](Index n) { return n != 1; })) json["transformer_layers_per_block"] = transformers;
  if (!mid) json["mid_block_type"] = nullptr;
  return json;
}

Json vae_json(const Section& s, const SingleFileOptions& o) {
  std::vector<Index> channels;
  for (Index b = 0; s.has("encoder.down." + std::to_string(b) + ".block.0.conv1.weight"); ++b) channels.push_back(s.extent("encoder.down." + std::to_string(b) + ".block.0.conv1.weight", 0));
  return {{"_class_name", "AutoencoderKL"}, {"_diffusers_version", "0.6.0"}, {"act_fn", "silu"}, {"block_out_channels", channels},
          {"down_block_types", std::vector<std::string>(channels.size(), "DownEncoderBlock2D")}, {"in_channels", s.extent("encoder.conv_in.weight", 1)},
          {"latent_channels", s.extent("decoder.conv_in.weight", 1)}, {"layers_per_block", s.count("encoder.down.0.block.", ".conv1.weight")},
          {"mid_block_add_attention", s.has("encoder.mid.attn_1.norm.weight")}, {"norm_num_groups", 32}, {"out_channels", s.extent("decoder.conv_out.weight", 0)},
          {"sample_size", o.size}, {"scaling_factor", 0.18215}, {"up_block_types", std::vector<std::string>(channels.size(), "UpDecoderBlock2D")},
          {"use_quant_conv", s.has("quant_conv.weight")}, {"use_post_quant_conv", s.has("post_quant_conv.weight")}};
}

Json text_json(const Section& s) {
  const Index words = s.extent("embeddings.token_embedding.weight", 0), width = s.extent("embeddings.token_embedding.weight", 1);
  return {{"architectures", {"CLIPTextModel"}}, {"bos_token_id", words - 2}, {"eos_token_id", words - 1}, {"hidden_act", "quick_gelu"}, {"hidden_size", width},
          {"intermediate_size", s.extent("encoder.layers.0.mlp.fc1.weight", 0)}, {"layer_norm_eps", 1e-5}, {"max_position_embeddings", s.extent("embeddings.position_embedding.weight", 0)},
          {"model_type", "clip_text_model"}, {"num_attention_heads", std::max<Index>(width / 64, 1)}, {"num_hidden_layers", s.count("encoder.layers.", ".mlp.fc1.weight")},
          {"pad_token_id", words - 1}, {"projection_dim", width}, {"vocab_size", words}};
}

SchedulerConfig sd15_scheduler(std::optional<SchedulerKind> kind = {}) {
  const std::string json = R"({"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
    "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1, "clip_sample": false})";
  return read_scheduler_config(json, {.path = "scheduler"}, kind);
}

template <class Model>
Params shapes_of(const typename Model::Config& config) {
  Params wanted = Params::shapes_only();
  Model(wanted, config);
  return wanted;
}

// Tensors of such files that no component has.
bool is_spare(const std::string& name, bool ema) {
  static const std::unordered_set<std::string> tables = {
      "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod",
      "sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2", "logvar", "scale_factor",
      "model_ema.decay", "model_ema.num_updates", "cond_stage_model.logit_scale"};
  return tables.count(name) || name.ends_with("position_ids") || name.starts_with("first_stage_model.loss.") || name.starts_with(ema ? unet_prefix : "model_ema.");
}

std::string listed(const std::vector<std::string>& names, const char* what) {
  std::string text = std::to_string(names.size()) + " " + what + ": ";
  for (std::size_t i = 0; i < names.size() && i < 8; ++i) text += (i ? ", '" : "'") + io::printable(names[i]) + "'";
  return text + (names.size() > 8 ? ", ..." : "");
}

// Every tensor has its place, or the Error lists those without.
std::size_t check_names(const io::Weights& weights, const std::string& path, const std::vector<const Names*>& all, bool ema) {
  std::unordered_set<std::string> taken;
  std::vector<std::string> missing, unknown;
  for (const Names* names : all)
    for (const auto& [today, name] : *names) {
      taken.insert(name);
      if (!weights.has(name)) missing.push_back(name);
    }
  std::size_t spare = 0;
  for (const std::string& name : weights.names())
    if (!taken.count(name)) (is_spare(name, ema) ? (void)++spare : unknown.push_back(name));
  std::string problems;
  if (!missing.empty()) problems = listed(missing, "missing");
  if (!unknown.empty()) problems += (problems.empty() ? "" : "; ") + listed(unknown, "unknown");
  if (!problems.empty())
    fail({.op = io::printable(path, 4096), .what = "the tensors are not those of Stable Diffusion 1.x: " + problems, .hint = "a file that is not whole, or another architecture", .kind = ErrorKind::file}, Site{});
  return spare;
}

// Other models that come in one file: their names tell.
void refuse_others(const io::Weights& weights, const std::string& path) {
  constexpr std::array<std::array<const char*, 2>, 4> others = {{{"conditioner.embedders.", "Stable Diffusion XL"}, {"cond_stage_model.model.", "Stable Diffusion 2"},
                                                                {"model.diffusion_model.joint_blocks.", "Stable Diffusion 3"}, {"control_model.", "ControlNet"}}};
  for (const auto& [prefix, what] : others) {
    const auto it = std::lower_bound(weights.names().begin(), weights.names().end(), prefix);
    if (it != weights.names().end() && it->starts_with(prefix)) io::bad_file({.path = path, .field = *it}, std::string("the file is of ") + what, "Stable Diffusion 1.x");
  }
}

template <class Model>
void save_part(const SingleFile::Part<typename Model::Config>& part, const std::string& path, const std::string& folder, const char* stem) {
  io::save_component(folder, part.config_json, stem, checkpoint_of(shapes_of<Model>(part.config), part.weights, path));
}

template <class Model>
Model load_part(const SingleFile::Part<typename Model::Config>& part, const std::string& path, const LoadOptions& options, std::string_view component) {
  Params params = fit_weights(shapes_of<Model>(part.config), part.weights, path, options);
  if (options.changed) options.changed(component, params);
  return Model(params.frozen(), part.config);
}

}  // namespace

bool is_single_file(const io::Weights& weights) {
  const auto it = std::lower_bound(weights.names().begin(), weights.names().end(), unet_prefix);
  return it != weights.names().end() && it->starts_with(unet_prefix);
}

SingleFile open_single_file(const std::string& path, const SingleFileOptions& o) {
  const io::Weights weights = io::open_weights(path);
  refuse_others(weights, path);
  if (o.ema && !weights.has(ema_name("input_blocks.0.0.weight")))
    io::bad_file({.path = path}, "no averaged weights in the file", ema_name("input_blocks.0.0.weight"), {}, "without --ema, the UNet's own weights are taken");
  const std::string text_at = std::string(text_prefix) + (weights.has(std::string(text_prefix) + "text_model.embeddings.token_embedding.weight") ? "text_model." : "");
  const std::string unet = unet_json(Section(weights, path, unet_prefix, o.ema), Section(weights, path, vae_prefix), o).dump(2) + "\n", vae = vae_json(Section(weights, path, vae_prefix), o).dump(2) + "\n",
                    text = text_json(Section(weights, path, text_at)).dump(2) + "\n";
  // The readers of configs see to it that what the shapes say can be a model.
  const UNetConfig unet_config = read_unet_config(unet, {.path = path, .field = "unet"});
  const VaeConfig vae_config = read_vae_config(vae, {.path = path, .field = "vae"});
  const ClipTextConfig text_config = read_clip_text_config(text, {.path = path, .field = "text_encoder"});
  const Params unet_params = shapes_of<UNet>(unet_config), vae_params = shapes_of<Autoencoder>(vae_config), text_params = shapes_of<ClipText>(text_config);
  Names unet_names, vae_names, text_names;
  for (const Param& p : unet_params) {
    const std::string name = ldm_unet_name(p.name(), unet_config);
    unet_names.emplace_back(p.name(), o.ema ? ema_name(name) : unet_prefix + name);
  }
  for (const Param& p : vae_params) vae_names.emplace_back(p.name(), vae_prefix + ldm_vae_name(p.name(), vae_config));
  for (const Param& p : text_params) text_names.emplace_back(p.name(), text_at + p.name().substr(std::string_view("text_model.").size()));
  const std::size_t spare = check_names(weights, path, {&unet_names, &vae_names, &text_names}, o.ema);
  SingleFile file{path, {unet, unet_config, weights.renamed(unet_names)}, {vae, vae_config, weights.renamed(vae_names)}, {text, text_config, weights.renamed(text_names)}, sd15_scheduler(), spare};
  check_weights(unet_params, file.unet.weights, path);
  check_weights(vae_params, file.vae.weights, path);
  check_weights(text_params, file.text_encoder.weights, path);
  return file;
}

void save_pipeline(const SingleFile& file, const ClipTokenizer& tokenizer, const std::string& folder) {
  if (tokenizer.size() > file.text_encoder.config.vocab_size)
    fail({.op = io::printable(file.path, 4096), .what = "the tokenizer has more tokens than the text encoder", .expected = std::to_string(file.text_encoder.config.vocab_size),
          .got = std::to_string(tokenizer.size()), .kind = ErrorKind::file}, Site{});
  save_part<UNet>(file.unet, file.path, folder + "/unet", "diffusion_pytorch_model");
  save_part<Autoencoder>(file.vae, file.path, folder + "/vae", "diffusion_pytorch_model");
  save_part<ClipText>(file.text_encoder, file.path, folder + "/text_encoder", "model");
  for (const char* name : {"/tokenizer", "/scheduler"}) fs::create_directories(folder + name);
  tokenizer.save(folder + "/tokenizer");
  io::write_file(folder + "/scheduler/scheduler_config.json", write_scheduler_config(file.scheduler));
  const io::ModelIndex index{"StableDiffusionPipeline", {{"vae", {"diffusers", "AutoencoderKL"}}, {"unet", {"diffusers", "UNet2DConditionModel"}},
                             {"text_encoder", {"transformers", "CLIPTextModel"}}, {"tokenizer", {"transformers", "CLIPTokenizer"}}, {"scheduler", {"diffusers", "PNDMScheduler"}}}};
  io::write_file(folder + "/model_index.json", io::write_model_index(index));
}

StableDiffusion load_pipeline(const SingleFile& file, ClipTokenizer tokenizer, const LoadOptions& options, std::optional<SchedulerKind> kind) {
  if (tokenizer.size() > file.text_encoder.config.vocab_size || file.unet.config.cross_attention_dim[0] != file.text_encoder.config.hidden_size || file.unet.config.in_channels != file.vae.config.latent_channels)
    fail({.op = io::printable(file.path, 4096), .what = "tokenizer, text encoder, UNet and autoencoder do not fit each other",
          .got = std::to_string(tokenizer.size()) + " tokens of " + std::to_string(file.text_encoder.config.vocab_size) + ", text of " + std::to_string(file.text_encoder.config.hidden_size) + " for " +
                 std::to_string(file.unet.config.cross_attention_dim[0]) + ", latents of " + std::to_string(file.vae.config.latent_channels) + " for " + std::to_string(file.unet.config.in_channels),
          .kind = ErrorKind::file}, Site{});
  return {std::move(tokenizer), load_part<ClipText>(file.text_encoder, file.path, options, "text_encoder"), load_part<UNet>(file.unet, file.path, options, "unet"), load_part<Autoencoder>(file.vae, file.path, options, "vae"),
          kind ? sd15_scheduler(kind) : file.scheduler};
}

void save_single_file(const std::string& pipeline, const std::string& path, const io::WeightsOptions& from) {
  const auto in = [&](const char* name) { return pipeline + "/" + name; };
  const UNetConfig unet = load_unet_config(in("unet/config.json"));
  const VaeConfig vae = load_vae_config(in("vae/config.json"));
  const ClipTextConfig text = load_clip_text_config(in("text_encoder/config.json"));
  for (const auto& [field, groups] : {std::pair{"unet/config.json", unet.norm_num_groups}, {"vae/config.json", vae.norm_num_groups}})
    if (groups != 32) io::bad_file({.path = in(field), .field = "norm_num_groups"}, "a single file has no config, its readers take SD-1.x's", "32", std::to_string(groups));
  std::vector<io::NamedTensor> all;
  for (io::NamedTensor& t : checkpoint_of(shapes_of<UNet>(unet), io::open_weights(in("unet"), from), in("unet"))) all.push_back({unet_prefix + ldm_unet_name(t.name, unet), std::move(t.tensor)});
  for (io::NamedTensor& t : checkpoint_of(shapes_of<Autoencoder>(vae), io::open_weights(in("vae"), from), in("vae"))) {
    const std::string name = ldm_vae_name(t.name, vae);
    if (name.find(".attn_1.") != std::string::npos && t.tensor.rank() == 2) t.tensor = reshape(t.tensor, {t.tensor.dim(0), t.tensor.dim(1), 1, 1});  // 1x1 convolutions there
    all.push_back({vae_prefix + name, std::move(t.tensor)});
  }
  for (io::NamedTensor& t : checkpoint_of(shapes_of<ClipText>(text), io::open_weights(in("text_encoder"), from), in("text_encoder"))) all.push_back({text_prefix + t.name, std::move(t.tensor)});
  io::save_safetensors(path, all, {{"format", "pt"}});
}

}  // namespace sspo
