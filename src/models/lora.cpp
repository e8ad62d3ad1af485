#include "sspo/models/lora.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <map>

#include "io/json.hpp"
#include "sspo/models/clip_text.hpp"
#include "sspo/models/unet.hpp"
#include "sspo/ops/matmul.hpp"
#include "sspo/ops/movement.hpp"
#include "sspo/ops/reduce.hpp"

namespace sspo {
namespace {

namespace fs = std::filesystem;

// What the end of a name says.
struct Ending {
  std::string_view text;
  enum Role { down, up, alpha } role;
  LoraLayout layout;
};
constexpr Ending endings[] = {
    {".lora_A.weight", Ending::down, LoraLayout::diffusers},           {".lora_B.weight", Ending::up, LoraLayout::diffusers},
    {".lora_A.default.weight", Ending::down, LoraLayout::peft},        {".lora_B.default.weight", Ending::up, LoraLayout::peft},
    {"_lora.down.weight", Ending::down, LoraLayout::diffusers},        {"_lora.up.weight", Ending::up, LoraLayout::diffusers},
    {".lora.down.weight", Ending::down, LoraLayout::diffusers},        {".lora.up.weight", Ending::up, LoraLayout::diffusers},
    {".lora_linear_layer.down.weight", Ending::down, LoraLayout::diffusers}, {".lora_linear_layer.up.weight", Ending::up, LoraLayout::diffusers},
    {".lora_down.weight", Ending::down, LoraLayout::kohya},            {".lora_up.weight", Ending::up, LoraLayout::kohya},
    {".alpha", Ending::alpha, LoraLayout::kohya},
};
struct Beginning {
  std::string_view text;
  LoraPart part;
  LoraLayout layout;
};
constexpr Beginning beginnings[] = {{"lora_unet_", LoraPart::unet, LoraLayout::kohya}, {"lora_te_", LoraPart::text_encoder, LoraLayout::kohya},
                                    {"unet.", LoraPart::unet, LoraLayout::diffusers}, {"text_encoder.", LoraPart::text_encoder, LoraLayout::diffusers}};

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
}

// Today's name of a module: older files name attention's processors, and CLIP's projections as if they were the UNet's.
std::string todays(std::string name) {
  replace_all(name, ".processor", "");
  const bool clip = name.find("self_attn.") != std::string::npos;
  for (const auto& [old, now] : std::array<std::array<std::string_view, 2>, 4>{{{".to_q", ".q_proj"}, {".to_k", ".k_proj"}, {".to_v", ".v_proj"}, {".to_out", ".out_proj"}}})
    if (clip && name.ends_with(old)) name.replace(name.size() - old.size(), old.size(), now);
  if (name.ends_with(".to_out")) name += ".0";
  return name;
}

struct Found {
  LoraPart part = LoraPart::unet;
  LoraLayout layout = LoraLayout::diffusers;
  Ending::Role role = Ending::down;
  std::string module;
};

// unet:12:up
bool read_indexed(const std::string& name, Found& f) {
  for (const auto& [text, part] : {std::pair<std::string_view, LoraPart>{"unet:", LoraPart::unet}, {"text_encoder:", LoraPart::text_encoder}}) {
    if (!name.starts_with(text)) continue;
    const std::string rest = name.substr(text.size());
    const std::size_t colon = rest.find(':');
    const std::string number = rest.substr(0, colon), role = colon == rest.npos ? "" : rest.substr(colon + 1);
    if (number.empty() || number.size() > 6 || number.find_first_not_of("0123456789") != number.npos || (role != "up" && role != "down")) return false;
    f = {part, LoraLayout::indexed, role == "up" ? Ending::up : Ending::down, number};
    return true;
  }
  return false;
}

bool read_name(const std::string& name, Found& f) {
  if (read_indexed(name, f)) return true;
  const auto ending = std::find_if(std::begin(endings), std::end(endings), [&](const Ending& e) { return name.ends_with(e.text); });
  if (ending == std::end(endings)) return false;
  std::string module = name.substr(0, name.size() - ending->text.size());
  f.role = ending->role;
  f.layout = ending->layout;
  if (module.starts_with("base_model.model.")) module.erase(0, 17), f.layout = LoraLayout::peft;
  const auto beginning = std::find_if(std::begin(beginnings), std::end(beginnings), [&](const Beginning& b) { return module.starts_with(b.text); });
  if (beginning != std::end(beginnings)) {
    module.erase(0, beginning->text.size());
    f.part = beginning->part;
    if (beginning->layout == LoraLayout::kohya) f.layout = LoraLayout::kohya;
  } else {  // a component's own file
    f.part = module.starts_with("text_model.") ? LoraPart::text_encoder : LoraPart::unet;
  }
  f.module = beginning != std::end(beginnings) && beginning->layout == LoraLayout::kohya ? module : todays(module);
  return true;
}

// alpha and rank of diffusers' and peft's configs, by module.
class Alphas {
 public:
  // prefix: "unet." in the metadata that diffusers writes.
  void read(const io::Json& json, const io::Place& place, const std::string& prefix, LoraPart part) {
    const auto get = [&](const char* name) -> const io::Json* {
      const auto it = json.find(prefix + name);
      return it == json.end() || it->is_null() ? nullptr : &*it;
    };
    for (const char* name : {"use_dora", "fan_in_fan_out"})
      if (const io::Json* v = get(name); v && *v != false) io::bad_file(place.in(prefix + name), "unsupported", "false", v->dump());
    Config c;
    if (const io::Json* v = get("use_rslora"); v && v->is_boolean()) c.root = v->get<bool>();
    if (const io::Json* v = get("lora_alpha")) c.alpha = number(*v, place.in(prefix + "lora_alpha"));
    if (const io::Json* v = get("alpha_pattern"); v && v->is_object())
      for (const auto& [pattern, value] : v->items()) c.patterns.emplace_back(pattern, number(value, place.in(prefix + "alpha_pattern").in(pattern)));
    configs_[part] = c;
  }
  // In peft, a pattern is a module's name or the end of it behind a dot.
  double alpha(LoraPart part, const std::string& module, Index rank) const {
    const auto it = configs_.find(part);
    if (it == configs_.end()) return double(rank);
    double a = it->second.alpha ? *it->second.alpha : double(rank);
    for (const auto& [pattern, value] : it->second.patterns)
      if (module == pattern || module.ends_with("." + pattern)) a = value;
    return it->second.root ? a * std::sqrt(double(rank)) : a;  // rank-stabilised: alpha / sqrt(rank)
  }

 private:
  struct Config {
    std::optional<double> alpha;
    std::vector<std::pair<std::string, double>> patterns;
    bool root = false;
  };
  static double number(const io::Json& v, const io::Place& place) {
    if (!v.is_number() || !std::isfinite(v.get<double>())) io::bad_file(place, "wrong value", "a number", v.dump());
    return v.get<double>();
  }
  std::map<LoraPart, Config> configs_;
};

Alphas alphas_of(const std::string& path, const io::Weights& weights) {
  Alphas alphas;
  const io::Metadata& metadata = weights.files()[0].metadata();
  if (const auto it = metadata.find("lora_adapter_metadata"); it != metadata.end()) {
    const io::Place place{.path = path, .field = "lora_adapter_metadata"};
    const io::Json json = io::parse_json(it->second, place);
    if (!json.is_object()) io::bad_file(place, "not an object");
    alphas.read(json, place, "unet.", LoraPart::unet);
    alphas.read(json, place, "text_encoder.", LoraPart::text_encoder);
  } else if (const std::string config = (fs::path(path).parent_path() / "adapter_config.json").string(); fs::exists(config)) {
    const io::Json json = io::read_json(config);
    if (!json.is_object()) io::bad_file({.path = config}, "not an object");
    for (const LoraPart part : {LoraPart::unet, LoraPart::text_encoder}) alphas.read(json, {.path = config}, "", part);
  }
  return alphas;
}

std::string list_of(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < 4; ++i) text += (i ? ", '" : "'") + io::printable(names[i]) + "'";
  return text + (names.size() > 4 ? ", ..." : "");
}

// --- which parameter a module changes

using Targets = std::vector<std::pair<const LoraModule*, const Param*>>;

// [out, in, kh, kw] of a weight that is changed as a matrix [out, in kh kw].
std::array<Index, 4> matrix_of(const Param& p) {
  const Shape& s = p.shape();
  return s.rank() == 4 ? std::array<Index, 4>{s[0], s[3], s[1], s[2]} : std::array<Index, 4>{s[0], s.rank() == 2 ? s[1] : 0, 1, 1};
}

bool fits(const Lora& lora, const LoraModule& m, const Param& p) {
  const auto extents = [&](const std::string& name) {
    std::vector<std::uint64_t> e = lora.weights.find(name)->shape;
    if (e.size() == 2) e.insert(e.end(), {1, 1});
    return e;
  };
  const auto [out, in, kh, kw] = matrix_of(p);
  const auto r = std::uint64_t(m.rank);
  return extents(m.up) == std::vector<std::uint64_t>{std::uint64_t(out), r, 1, 1} && extents(m.down) == std::vector<std::uint64_t>{r, std::uint64_t(in), std::uint64_t(kh), std::uint64_t(kw)};
}

[[noreturn]] void misfit(const Lora& lora, const LoraModule& m, const Param& p) {
  const auto [out, in, kh, kw] = matrix_of(p);
  const std::string kernel = kh * kw > 1 ? ", " + std::to_string(kh) + ", " + std::to_string(kw) : "";
  io::bad_file({.path = lora.path, .field = m.down}, "the LoRA is for another architecture", "a change of [" + std::to_string(out) + ", " + std::to_string(in) + kernel + "] for " + p.name(),
               lora.weights.find(m.up)->str() + " times " + lora.weights.find(m.down)->str());
}

// Modules in the order in which cloneofsimo/lora meets them: down blocks, up blocks, then the middle, which diffusers registers
// last; within a transformer block what `order` says. In CLIP's attention k, v, q, out.
std::vector<const Param*> counted(const Params& params, LoraPart part, const std::vector<std::string>& order) {
  std::vector<const Param*> all;
  const auto find = [&](const std::string& name) {
    for (const Param& p : params)
      if (p.name() == name) return &p;
    return static_cast<const Param*>(nullptr);
  };
  const std::string first = part == LoraPart::unet ? ".attn1.to_q.weight" : ".k_proj.weight";
  for (const std::string_view top : part == LoraPart::unet ? std::vector<std::string_view>{"down_blocks.", "up_blocks.", "mid_block."} : std::vector<std::string_view>{"text_model."})
    for (const Param& p : params) {
      if (!p.name().starts_with(top) || !p.name().ends_with(first)) continue;
      const std::string base = p.name().substr(0, p.name().size() - first.size());
      for (const std::string& name : order) all.push_back(find(base + name + ".weight"));
    }
  return all;
}

// Versions of diffusers differ in where a transformer block's MLP stands, and files in whether they change it: the shapes tell.
Targets match_indexed(const Lora& lora, LoraPart part, const std::vector<const LoraModule*>& modules, const Params& params) {
  const std::vector<std::string> self = {".attn1.to_q", ".attn1.to_k", ".attn1.to_v", ".attn1.to_out.0"}, cross = {".attn2.to_q", ".attn2.to_k", ".attn2.to_v", ".attn2.to_out.0"}, mlp = {".ff.net.0.proj"};
  const auto joined = [](std::initializer_list<std::vector<std::string>> lists) {
    std::vector<std::string> all;
    for (const auto& list : lists) all.insert(all.end(), list.begin(), list.end());
    return all;
  };
  const std::vector<std::vector<std::string>> orders = part == LoraPart::text_encoder ? std::vector<std::vector<std::string>>{{".k_proj", ".v_proj", ".q_proj", ".out_proj"}}
                                                       : std::vector<std::vector<std::string>>{joined({self, mlp, cross}), joined({self, cross, mlp}), joined({self, cross})};
  std::size_t most = 0;
  for (const auto& order : orders) {
    const std::vector<const Param*> targets = counted(params, part, order);
    most = std::max(most, targets.size());
    Targets matches;
    for (const LoraModule* m : modules) {
      const std::size_t i = std::stoul(m->name);
      if (i < targets.size() && targets[i] && fits(lora, *m, *targets[i])) matches.emplace_back(m, targets[i]);
    }
    if (targets.size() == modules.size() && matches.size() == modules.size()) return matches;
  }
  io::bad_file({.path = lora.path, .field = part == LoraPart::unet ? "unet:0" : "text_encoder:0"}, "the LoRA is for another architecture",
               "a change for each of the model's attention modules, " + std::to_string(most) + " at most, of their shapes", std::to_string(modules.size()) + " modules");
}

Targets match(const Lora& lora, LoraPart part, const Params& params, LoraChange& change) {
  std::vector<const LoraModule*> modules;
  for (const LoraModule& m : lora.modules)
    if (m.part == part) modules.push_back(&m);
  if (modules.empty()) return {};
  if (lora.layout == LoraLayout::indexed) return match_indexed(lora, part, modules, params);
  std::map<std::string, const Param*> by_name;
  for (const Param& p : params) {
    if (!p.name().ends_with(".weight") || p.shape().rank() < 2) continue;
    std::string name = p.name().substr(0, p.name().size() - 7);
    by_name.emplace(name, &p);
    std::replace(name.begin(), name.end(), '.', '_');
    by_name.emplace(name, &p);
  }
  Targets matches;
  for (const LoraModule* m : modules) {
    auto it = by_name.find(m->name);
    if (it == by_name.end() && part == LoraPart::text_encoder) it = by_name.find("text_model." + m->name);
    if (it == by_name.end()) {
      change.unmatched.push_back(m->down);
      continue;
    }
    if (!fits(lora, *m, *it->second)) misfit(lora, *m, *it->second);
    matches.emplace_back(m, it->second);
  }
  return matches;
}

// What a module adds, as a checkpoint has it: [out, in] or [out, in, kh, kw], f32.
Tensor delta_of(const Lora& lora, const LoraModule& m, const Param& p, double scale, LoraChange& change) {
  const auto [out, in, kh, kw] = matrix_of(p);
  const Tensor up = reshape(lora.weights.load(m.up), {out, m.rank}), down = reshape(lora.weights.load(m.down), {m.rank, in * kh * kw});
  const Tensor delta = matmul(up, down) * (scale * m.alpha / double(m.rank));
  ++change.tensors;
  change.square += sum(square(cast(delta, DType::f64))).item<double>();
  return p.shape().rank() == 4 ? reshape(delta, {out, in, kh, kw}) : delta;
}

Tensor added(const Tensor& w, const Tensor& delta) {
  const DType wide = w.dtype() == DType::f64 ? DType::f64 : DType::f32;
  return cast(cast(w, wide) + cast(delta, wide), w.dtype());
}

template <class Model>
void check_part(const typename Model::Config& config, LoraPart part, const Lora& lora, LoraChange& change) {
  Params wanted = Params::shapes_only();
  Model(wanted, config);
  change.tensors += match(lora, part, wanted, change).size();
}

template <class Model>
bool merge_part(const typename Model::Config& config, const std::string& name, LoraPart part, const char* stem, const std::string& pipeline, const Lora& lora, double scale, const std::string& out,
                const io::WeightsOptions& from, LoraChange& change) {
  if (std::none_of(lora.modules.begin(), lora.modules.end(), [&](const LoraModule& m) { return m.part == part; })) return false;
  Params wanted = Params::shapes_only();
  Model(wanted, config);
  const std::string folder = pipeline + "/" + name;
  std::vector<io::NamedTensor> tensors = checkpoint_of(wanted, io::open_weights(folder, from), folder);
  add_lora(lora, scale, part, wanted, tensors, change);
  io::SaveOptions options;
  options.variant = from.variant;
  io::save_component(out + "/" + name, io::File(folder + "/config.json").text(16u << 20), stem, tensors, options);
  return true;
}

}  // namespace

std::string_view name_of(LoraLayout layout) {
  constexpr std::string_view names[] = {"diffusers", "peft", "kohya", "indexed"};
  return names[std::size_t(layout)];
}

bool is_lora(const io::Weights& weights) {
  Found f;
  return std::any_of(weights.names().begin(), weights.names().end(), [&](const std::string& name) { return read_name(name, f) && f.role != Ending::alpha; });
}

Lora open_lora(const std::string& path) {
  Lora lora{path, LoraLayout::diffusers, io::open_weights(path), {}, {}};
  std::map<std::pair<LoraPart, std::string>, std::array<std::string, 3>> by_module;  // down, up, alpha
  for (const std::string& name : lora.weights.names()) {
    Found f;
    if (name.ends_with(".dora_scale") || name.find(".lora_magnitude_vector") != std::string::npos)  // its up and down alone would be another change
      io::bad_file({.path = path, .field = name}, "DoRA is not supported", "low-rank changes alone (LoRA)");
    if (name.starts_with("<") && name.ends_with(">")) {
      ++lora.token_embeddings;
    } else if (read_name(name, f)) {
      std::string& place = by_module[{f.part, f.module}][std::size_t(f.role)];
      if (!place.empty()) io::bad_file({.path = path, .field = name}, "changes a module again", {}, place);
      place = name;
      if (f.layout != LoraLayout::diffusers) lora.layout = f.layout;
    } else {
      lora.unknown.push_back(name);
    }
  }
  const Alphas alphas = alphas_of(path, lora.weights);
  for (const auto& [key, names] : by_module) {
    const auto& [down, up, alpha] = names;
    if (down.empty() || up.empty()) io::bad_file({.path = path, .field = down.empty() ? (up.empty() ? alpha : up) : down}, "one half of a change", "up and down");
    const io::StoredTensor &d = *lora.weights.find(down), &u = *lora.weights.find(up);
    const auto matrix = [](const io::StoredTensor& t) { return t.shape.size() == 2 || t.shape.size() == 4; };
    if (!matrix(d) || !matrix(u) || d.shape[0] != u.shape[1] || d.shape[0] == 0) io::bad_file({.path = path, .field = down}, "ranks that do not meet", "[rank, in] and [out, rank]", d.str() + " and " + u.str());
    LoraModule m{key.first, key.second, down, up, Index(d.shape[0]), alphas.alpha(key.first, key.second, Index(d.shape[0]))};
    if (!alpha.empty()) {
      const Tensor a = lora.weights.load(alpha);
      if (a.numel() != 1 || !std::isfinite(a.to_vector<float>()[0])) io::bad_file({.path = path, .field = alpha}, "not a number", "one finite number", a.str());
      m.alpha = double(a.to_vector<float>()[0]);
    }
    lora.modules.push_back(std::move(m));
  }
  if (lora.modules.empty())
    io::bad_file({.path = path}, "no LoRA in the file", "names of diffusers', peft's, kohya's or cloneofsimo's layout", lora.unknown.empty() ? "no tensor" : list_of(lora.unknown));
  return lora;
}

void add_lora(const Lora& lora, double scale, LoraPart part, Params& params, LoraChange& change) {
  for (const auto& [module, target] : match(lora, part, params, change)) {
    const Tensor delta = delta_of(lora, *module, *target, scale, change);
    Param p = *target;
    p.assign(added(p.value(), to_device(delta.rank() == 4 ? contiguous(permute(delta, {0, 2, 3, 1})) : delta, params.device())));
  }
}

void add_lora(const Lora& lora, double scale, LoraPart part, const Params& wanted, std::vector<io::NamedTensor>& tensors, LoraChange& change) {
  std::map<std::string_view, Tensor*> by_name;
  for (io::NamedTensor& t : tensors) by_name.emplace(t.name, &t.tensor);
  for (const auto& [module, target] : match(lora, part, wanted, change)) {
    Tensor& w = *by_name.at(target->name());
    w = added(w, delta_of(lora, *module, *target, scale, change));
  }
}

void require_some(const LoraChange& change, const Lora& lora) {
  if (change.tensors == 0)
    io::bad_file({.path = lora.path}, "the LoRA is for another architecture: none of its modules is in the model", {}, list_of(change.unmatched));
}

void save_adapters(const std::string& folder, const Params& adapters, const nn::LoraOptions& o, io::Metadata about) {
  io::Json config;
  for (const auto& [name, value] : {std::pair<const char*, io::Json>{"r", o.rank}, {"lora_alpha", o.alpha}, {"target_modules", o.targets}}) config[std::string("unet.") + name] = value;
  about.insert({{"format", "pt"}, {"lora_adapter_metadata", config.dump()}});
  io::save_safetensors(folder + "/" + adapters_file, to_checkpoint(adapters), about);
}

Params load_adapters(const std::string& folder, const Params& wanted, const LoadOptions& options) {
  const std::string path = folder + "/" + adapters_file;
  return fit_weights(wanted, io::open_weights(path), path, options);
}

LoraChange merge_lora(const std::string& pipeline, const Lora& lora, double scale, const std::string& out, const io::WeightsOptions& from) {
  const UNetConfig unet = load_unet_config(pipeline + "/unet/config.json");
  const ClipTextConfig text = load_clip_text_config(pipeline + "/text_encoder/config.json");
  LoraChange planned, change;  // what does not fit shows before anything is written
  check_part<UNet>(unet, LoraPart::unet, lora, planned);
  check_part<ClipText>(text, LoraPart::text_encoder, lora, planned);
  require_some(planned, lora);
  const bool has_unet = merge_part<UNet>(unet, "unet", LoraPart::unet, "diffusion_pytorch_model", pipeline, lora, scale, out, from, change);
  const bool has_text = merge_part<ClipText>(text, "text_encoder", LoraPart::text_encoder, "model", pipeline, lora, scale, out, from, change);
  const auto copied = [&](const fs::path& name) {
    std::error_code error;
    fs::copy(fs::path(pipeline) / name, fs::path(out) / name, fs::copy_options::recursive | fs::copy_options::overwrite_existing, error);
    if (error) fail({.op = io::printable(out + "/" + name.string(), 4096), .what = "cannot be copied: " + error.message(), .kind = ErrorKind::io}, Site{});
  };
  for (const fs::directory_entry& e : fs::directory_iterator(pipeline)) {
    const std::string name = e.path().filename().string();
    if (!(has_unet && name == "unet") && !(has_text && name == "text_encoder") && name != "model_index.json") copied(name);
  }
  if (fs::exists(pipeline + "/model_index.json")) copied("model_index.json");
  return change;
}

}  // namespace sspo
