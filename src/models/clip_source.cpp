// Where a CLIP's weights are from: which layout, which shapes, and each of our tensors' place in the file.
#include <algorithm>
#include <array>
#include <filesystem>

#include "io/json.hpp"
#include "sspo/models/clip.hpp"

namespace sspo {
namespace {

namespace fs = std::filesystem;
using Parts = std::vector<io::WeightPart>;

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// --- names

struct Renamed { std::string_view openclip, ours; bool transposed = false; };

constexpr std::array outside_layers = {
    Renamed{"visual.class_embedding", "vision_model.embeddings.class_embedding"},
    Renamed{"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"},
    Renamed{"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"},
    Renamed{"visual.ln_pre.weight", "vision_model.pre_layrnorm.weight"},
    Renamed{"visual.ln_pre.bias", "vision_model.pre_layrnorm.bias"},
    Renamed{"visual.ln_post.weight", "vision_model.post_layernorm.weight"},
    Renamed{"visual.ln_post.bias", "vision_model.post_layernorm.bias"},
    Renamed{"visual.proj", "visual_projection.weight", true},
    Renamed{"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
    Renamed{"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    Renamed{"ln_final.weight", "text_model.final_layer_norm.weight"},
    Renamed{"ln_final.bias", "text_model.final_layer_norm.bias"},
    Renamed{"text_projection", "text_projection.weight", true},
    Renamed{"logit_scale", "logit_scale"}};

constexpr std::array inside_layers = {Renamed{"ln_1.", "layer_norm1."}, Renamed{"ln_2.", "layer_norm2."}, Renamed{"attn.out_proj.", "self_attn.out_proj."},
                                      Renamed{"mlp.c_fc.", "mlp.fc1."}, Renamed{"mlp.c_proj.", "mlp.fc2."}};

constexpr std::array layers_of = {Renamed{"visual.transformer.resblocks.", "vision_model.encoder.layers."}, Renamed{"transformer.resblocks.", "text_model.encoder.layers."}};

// Numbers about the model that files of 2021 hold beside the weights, and tables that follow from the config.
bool is_spare(std::string_view name) {
  return name == "attn_mask" || name == "input_resolution" || name == "context_length" || name == "vocab_size" || name.ends_with("position_ids");
}

// Appends what the tensor `name` (without the prefix that the file puts before all) is to us; false: nothing we know.
bool add_openclip(std::string_view name, const std::string& in_file, Parts& parts) {
  for (const auto& [openclip, ours, transposed] : outside_layers)
    if (name == openclip) return parts.push_back({std::string(ours), in_file, 0, 1, transposed}), true;
  for (const auto& [openclip, ours, _] : layers_of) {
    if (!name.starts_with(openclip)) continue;
    const std::string_view rest = name.substr(openclip.size());  // 3.attn.in_proj_weight
    const std::size_t dot = rest.find('.');
    if (dot == rest.npos) return false;
    const std::string layer = std::string(ours) + std::string(rest.substr(0, dot + 1));
    const std::string_view leaf = rest.substr(dot + 1);
    constexpr std::string_view joint = "attn.in_proj_";
    if (leaf == "attn.in_proj_weight" || leaf == "attn.in_proj_bias") {
      std::uint64_t run = 0;
      for (const char* which : {"q", "k", "v"}) parts.push_back({layer + "self_attn." + which + "_proj." + std::string(leaf.substr(joint.size())), in_file, run++, 3});
      return true;
    }
    for (const auto& [theirs, here, __] : inside_layers)
      if (leaf.starts_with(theirs)) return parts.push_back({layer + std::string(here) + std::string(leaf.substr(theirs.size())), in_file}), true;
  }
  return false;
}

// --- shapes

class Shapes {
 public:
  Shapes(const io::Weights& weights, const std::string& path) : weights_(weights), path_(path) {}
  bool has(const std::string& name) const { return weights_.has(name); }
  Index extent(const std::string& name, std::size_t axis) const {
    const io::StoredTensor* t = weights_.find(name);
    if (!t) io::bad_file({.path = path_, .field = name}, "is missing: this is no CLIP, or not all of one", {}, {}, "the name is transformers'");
    if (t->shape.size() <= axis || t->shape[axis] < 1 || t->shape[axis] > 1u << 24) io::bad_file({.path = path_, .field = t->name}, "a shape that no CLIP has", {}, t->str());
    return Index(t->shape[axis]);
  }
  Index layers(const std::string& base) const {
    Index n = 0;
    while (has(base + std::to_string(n) + ".mlp.fc1.weight")) ++n;
    return n;
  }
  template <class Config>
  void transformer(const std::string& model, const std::string& projection, Config& c) const {
    c.num_hidden_layers = layers(model + ".encoder.layers.");
    c.intermediate_size = extent(model + ".encoder.layers.0.mlp.fc1.weight", 0);
    c.projection_dim = extent(projection, 0);
  }

 private:
  const io::Weights& weights_;
  const std::string& path_;
};

ClipVisionConfig vision_told(const Shapes& s, const std::string& path, Activation activation) {
  ClipVisionConfig c{.hidden_act = activation};
  c.hidden_size = s.extent("vision_model.embeddings.class_embedding", 0);
  s.transformer("vision_model", "visual_projection.weight", c);
  c.num_attention_heads = c.hidden_size > 1024 ? 16 : std::max<Index>(c.hidden_size / 64, 1);  // H, g, bigG and e have 80, 88, 104 and 112 channels a head
  c.num_channels = s.extent("vision_model.embeddings.patch_embedding.weight", 1);
  c.patch_size = s.extent("vision_model.embeddings.patch_embedding.weight", 2);
  const Index patches = s.extent("vision_model.embeddings.position_embedding.weight", 0) - 1;
  Index side = 1;
  while ((side + 1) * (side + 1) <= patches) ++side;
  if (side * side != patches) io::bad_file({.path = path, .field = "vision_model.embeddings.position_embedding.weight"}, "the patches are no square", "a square number and 1 more", std::to_string(patches + 1));
  c.image_size = side * c.patch_size;
  return c;
}

ClipTextConfig text_told(const Shapes& s, Activation activation) {
  ClipTextConfig c{.hidden_act = activation, .eos_token_id = 2};  // the largest id, as both programs of that layout take it
  c.vocab_size = s.extent("text_model.embeddings.token_embedding.weight", 0);
  c.hidden_size = s.extent("text_model.embeddings.token_embedding.weight", 1);
  c.max_position_embeddings = s.extent("text_model.embeddings.position_embedding.weight", 0);
  s.transformer("text_model", "text_projection.weight", c);
  c.num_attention_heads = std::max<Index>(c.hidden_size / 64, 1);
  return c;
}

// What open_clip_config.json says beyond the shapes.
struct OpenClipSays {
  std::optional<Activation> activation;
  Index head_width = 0, text_heads = 0;  // 0: nothing
};

OpenClipSays openclip_config(const std::string& path) {
  if (!exists(path)) return {};
  const io::Place place{.path = path};
  const io::Json json = io::read_json(path);
  io::Fields all(json, place);
  const io::Json* model = all.raw("model_cfg");
  if (!model) model = &json;  // as the package's own files have it
  io::Fields f(*model, place.in("model_cfg"));
  OpenClipSays says{.activation = f.boolean("quick_gelu", false) ? Activation::quick_gelu : Activation::gelu_erf};
  if (const io::Json* tower = f.raw("vision_cfg")) says.head_width = io::Fields(*tower, place.in("vision_cfg")).integer("head_width", 1, 1 << 16, 64);
  if (const io::Json* tower = f.raw("text_cfg")) says.text_heads = io::Fields(*tower, place.in("text_cfg")).integer("heads", 1, 1 << 12, 8);
  return says;
}

template <class Config>
void take_heads(Config& c, Index heads, const std::string& path) {
  if (heads) c.num_attention_heads = heads;
  if (c.num_attention_heads < 1 || c.hidden_size % c.num_attention_heads)
    io::bad_file({.path = path}, "the heads do not divide the width", "a divisor of " + std::to_string(c.hidden_size), std::to_string(c.num_attention_heads));
}

// --- files

// A folder's file of OpenCLIP, where it has no weights of transformers'.
std::string weights_file(const std::string& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return path;
  for (const char* name : {"/model.safetensors", "/model.safetensors.index.json", "/pytorch_model.bin"})
    if (exists(path + name)) return path;
  for (const char* name : {"/open_clip_model.safetensors", "/open_clip_pytorch_model.safetensors", "/open_clip_pytorch_model.bin"})
    if (exists(path + name)) return path + name;
  return path;
}

std::string folder_of(const std::string& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return path;
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

// Each tensor under our name; what neither layout knows ends with an Error that lists it.
Parts parts_of(const io::Weights& weights, const std::string& path, bool& openclip) {
  constexpr std::string_view prefix = "module.";  // of files saved from several GPUs
  const bool wrapped = !weights.names().empty() && std::all_of(weights.names().begin(), weights.names().end(), [&](const std::string& n) { return n.starts_with(prefix); });
  const std::string before = wrapped ? std::string(prefix) : "";
  openclip = weights.has(before + "visual.class_embedding") || weights.has(before + "transformer.resblocks.0.ln_1.weight");
  Parts parts;
  std::string unknown;
  int count = 0;
  for (const std::string& full : weights.names()) {
    const std::string_view name = std::string_view(full).substr(before.size());
    if (is_spare(name)) continue;
    if (!openclip) parts.push_back({std::string(name), full});
    else if (!add_openclip(name, full, parts) && ++count <= 8) unknown += (unknown.empty() ? "'" : ", '") + io::printable(full) + "'";
  }
  if (count)
    io::bad_file({.path = path}, "tensors that no CLIP of OpenCLIP's plain layout has: " + unknown + (count > 8 ? ", ..." : ""), {}, {}, "towers by timm or Hugging Face inside OpenCLIP, CoCa and SigLIP are other networks");
  return parts;
}

enum class Belongs { vision, text, neither };
Belongs tower_of(const std::string& name, const ClipConfig& config) {
  if (name == "logit_scale") return Belongs::neither;
  if (!config.text) return Belongs::vision;  // one tower alone: what does not fit it is told when it is loaded
  if (!config.vision) return Belongs::text;
  if (name.starts_with("vision_model.") || name.starts_with("visual_projection.")) return Belongs::vision;
  if (name.starts_with("text_model.") || name.starts_with("text_projection.")) return Belongs::text;
  return Belongs::neither;
}

template <class Tower>
Params load_tower(const ClipSource& source, const std::optional<typename Tower::Config>& config, const io::Weights& weights, const char* what, const LoadOptions& options) {
  if (!config) io::bad_file({.path = source.path}, std::string("there is no ") + what + " in it");
  Params wanted = Params::shapes_only();
  Tower(wanted, *config);
  return fit_weights(wanted, weights, source.path, options);
}

}  // namespace

ClipSource open_clip(const std::string& given, const ClipOptions& o) {
  ClipSource s;
  s.path = weights_file(given);
  const io::Weights file = io::open_weights(s.path, {.variant = o.variant});
  const Parts parts = parts_of(file, s.path, s.openclip);
  const io::Weights all = file.parts(parts);
  const Shapes shapes(all, s.path);
  const bool vision_there = shapes.has("vision_model.embeddings.class_embedding"), text_there = shapes.has("text_model.embeddings.token_embedding.weight");
  if (!vision_there && !text_there) io::bad_file({.path = s.path}, "no CLIP: neither a vision tower nor a text tower", "vision_model.* and text_model.*, or visual.* and transformer.resblocks.*");
  const std::string config = folder_of(s.path) + "/config.json";
  if (!s.openclip && exists(config)) {
    s.config = load_clip_config(config);
  } else {
    const OpenClipSays says = s.openclip ? openclip_config(folder_of(s.path) + "/open_clip_config.json") : OpenClipSays{};
    const std::optional<Activation> activation = says.activation ? says.activation : o.activation;
    if (!activation)
      io::bad_file({.path = s.path}, "nothing tells the activation: tensors cannot", std::string(s.openclip ? "open_clip_config.json" : "config.json") + " beside the weights, or an explicit one", {},
                   "OpenAI's models have quick_gelu, those that OpenCLIP trained gelu");
    if (vision_there) {
      s.config.vision = vision_told(shapes, s.path, *activation);
      take_heads(*s.config.vision, says.head_width ? s.config.vision->hidden_size / says.head_width : 0, s.path);
    }
    if (text_there) {
      s.config.text = text_told(shapes, *activation);
      take_heads(*s.config.text, says.text_heads, s.path);
    }
  }
  std::vector<std::pair<std::string, std::string>> vision, text;
  for (const std::string& name : all.names()) {
    const Belongs to = tower_of(name, s.config);
    if (to == Belongs::vision) vision.emplace_back(name, name);
    else if (to == Belongs::text) text.emplace_back(name, name);
    else if (name != "logit_scale") io::bad_file({.path = s.path, .field = name}, "a tensor that no CLIP has");
  }
  s.vision_weights = all.renamed(std::move(vision));
  s.text_weights = all.renamed(std::move(text));
  if (const io::StoredTensor* t = all.find("logit_scale")) {
    const Tensor x = all.load("logit_scale", DType::f64);
    if (x.numel() != 1) io::bad_file({.path = s.path, .field = "logit_scale"}, "not one number", "[]", t->str());
    s.logit_scale = x.to_vector<double>()[0];
  }
  if (s.openclip) s.parts = parts;
  return s;
}

Params load_clip_vision(const ClipSource& s, const LoadOptions& options) { return load_tower<ClipVision>(s, s.config.vision, s.vision_weights, "vision tower", options); }
Params load_clip_text(const ClipSource& s, const LoadOptions& options) { return load_tower<ClipTextTower>(s, s.config.text, s.text_weights, "text tower", options); }

std::vector<io::NamedTensor> to_clip_checkpoint(std::vector<io::NamedTensor> tensors, const ClipSource& s) {
  if (!s.openclip) {
    for (io::NamedTensor& t : tensors) t = to_checkpoint(t.tensor, t.name, s.vision_weights.has(t.name) ? s.vision_weights : s.text_weights);
    return tensors;
  }
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  std::vector<io::NamedTensor> out;
  for (const io::WeightPart& p : s.parts) {  // those of one tensor stand together, in its order
    const auto it = std::lower_bound(tensors.begin(), tensors.end(), p.name, [](const auto& t, const std::string& name) { return t.name < name; });
    if (it == tensors.end() || it->name != p.name) continue;
    Tensor x = to_checkpoint(it->tensor);
    if (p.transposed) x = contiguous(transpose(x));
    if (p.run) out.back().tensor = cat({out.back().tensor, x}, 0);
    else out.push_back({p.in_file, x});
  }
  return out;
}

}  // namespace sspo
