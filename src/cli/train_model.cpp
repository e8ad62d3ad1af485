#include "cli/train_model.hpp"

#include <filesystem>
#include <set>

#include "cli/train_policy.hpp"
#include "sspo/io/hash.hpp"
#include "sspo/models/bpe_trainer.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

// The keys of a section as the fields of a config.json.
io::Json section_json(const Recipe& r, const std::string& section, const char* class_key, const io::Json& class_name) {
  io::Json json = {{class_key, class_name}};
  const std::string prefix = section + ".";
  for (const RecipeKey& k : recipe_keys())
    if (k.name.starts_with(prefix) && r.has(k.name)) json[k.name.substr(prefix.size())] = r.value(k.name);
  return json;
}

void fill(io::Json& json, const char* name, const io::Json& value) {
  if (!json.contains(name)) json[name] = value;
}

class Maker {
 public:
  Maker(const Recipe& r, const TrainData& data, const Device& device, bool read_weights)
      : r_(r), data_(data), device_(device), read_weights_(read_weights), path_(r.text("model.path")), rng_(Rng(std::uint64_t(r.integer("seed"))) / "init"),
        m_{.trained = Params(device, rng_), .dtype = r.text("train.dtype") == "bf16" ? DType::bf16 : DType::f32} {}

  TrainModel make() {
    const Kind kind = r_.kind();
    if (kind == judge) return make_judge();
    const bool whole = kind != pretrain_vae;  // all parts are needed
    // Small things first: what is wrong with them shows before gigabytes are read.
    vae_config();
    if (whole || available("text_encoder") || available("tokenizer")) text_config();
    if (whole || available("unet")) unet_config();
    scheduler();
    check();
    if (!m_.vae.json.empty()) add<Autoencoder>("vae", m_.vae, kind == pretrain_vae);
    if (!m_.text_encoder.json.empty()) add<ClipText>("text_encoder", m_.text_encoder, kind == pretrain && r_.has("pretrain.train_text_encoder") && r_.boolean("pretrain.train_text_encoder"));
    if (!m_.unet.json.empty() && r_.has("lora.rank") && r_.integer("lora.rank") > 0) add_adapted_unet();
    else if (!m_.unet.json.empty()) add<UNet>("unet", m_.unet, kind != pretrain_vae);
    if (whole && r_.boolean("train.recompute")) m_.unet.model->recompute_blocks(true);
    m_.trained.compute_in(m_.dtype);
    m_.digest = hash_.hex();
    return std::move(m_);
  }

 private:
  // A new judge; through a frozen autoencoder it sees pictures as models make them.
  TrainModel make_judge() {
    m_.side = r_.integer("data.size") ? r_.integer("data.size") : 32;
    if (available("vae")) {
      if (fresh("vae")) r_.wrong("model.vae", "a judge looks through an autoencoder that was trained", "model.path");
      vae_config();
      add<Autoencoder>("vae", m_.vae, false);
    }
    io::Json json = section_json(r_, "model.judge", "_class_name", "Judge");
    fill(json, "max_tokens", JudgeConfig{}.max_tokens);
    tokenizer(json["max_tokens"].get<Index>());
    std::set<std::string> styles;
    for (const io::Row& row : data_.rows) styles.insert(std::string(row.field("style")));
    styles.erase("");
    if (styles.size() < 2) r_.wrong("data.path", "a judge learns styles", "two or more in the rows' field style", std::to_string(styles.size()));
    json["styles"] = styles;
    json["size"] = m_.side, json["vocab_size"] = m_.tokenizer->size();
    m_.judge.json = json.dump(2) + "\n";
    m_.judge.config = read_judge_config(m_.judge.json, {.path = r_.place("model.judge").path, .field = "model.judge"});
    m_.judge.model.emplace(m_.trained / "judge", m_.judge.config);
    hash_.add("judge" + m_.judge.json);
    m_.digest = hash_.hex();
    return std::move(m_);
  }

  bool fresh(const std::string& part) const { return r_.section("model." + part + "."); }
  std::string folder(const std::string& part) const { return path_ + "/" + part; }
  bool available(const std::string& part) const {
    std::error_code none;
    return fresh(part) || (!path_.empty() && fs::exists(folder(part), none));
  }
  void need(const std::string& part) const {
    if (available(part)) return;
    if (path_.empty()) r_.wrong("model." + part, "the part is missing", "a section of its own, or model.path", {}, "give [model." + part + "] to start anew");
    r_.wrong("model.path", "no " + part + " there", folder(part), "no such folder", "give [model." + part + "] to start anew");
  }

  void vae_config() {
    need("vae");
    if (fresh("vae")) {
      io::Json json = section_json(r_, "model.vae", "_class_name", "AutoencoderKL");
      const std::size_t blocks = json.contains("block_out_channels") ? json["block_out_channels"].size() : 1;
      json["down_block_types"] = std::vector<std::string>(blocks, "DownEncoderBlock2D");
      json["up_block_types"] = std::vector<std::string>(blocks, "UpDecoderBlock2D");
      for (const auto& [name, value] : {std::pair{"in_channels", 3}, {"out_channels", 3}, {"latent_channels", 4}}) fill(json, name, value);
      m_.vae.json = json.dump(2) + "\n";
    } else {
      m_.vae.json = io::File(folder("vae") + "/config.json").text(16u << 20);
    }
    m_.vae.config = read_vae_config(m_.vae.json, fresh("vae") ? io::Place{.path = r_.place("model.vae").path, .field = "model.vae"} : io::Place{.path = folder("vae") + "/config.json"});
    const Index down = m_.vae.config.downscale(), asked = r_.integer("data.size");
    std::error_code none;
    m_.side = asked ? asked : m_.vae.config.sample_size;
    if (!asked && !path_.empty() && !fresh("unet") && fs::exists(folder("unet") + "/config.json", none)) m_.side = load_unet_config(folder("unet") + "/config.json").sample_size * down;
    if (r_.text("data.kind") == "shapes" && m_.side < 32) r_.wrong("data.size", "scenes are drawn larger", "32 or more", std::to_string(m_.side));
    if (m_.side % down) r_.wrong("data.size", "the autoencoder cannot halve it so often", "a multiple of " + std::to_string(down), std::to_string(m_.side));
    m_.latent = {m_.side / down, m_.side / down, m_.vae.config.latent_channels};
  }

  void tokenizer(Index length) {
    need("tokenizer");
    m_.tokenizer = fresh("tokenizer") ? train_bpe(data_.texts, {.size = int(r_.integer("model.tokenizer.size")), .max_length = int(length)}) : ClipTokenizer::open(folder("tokenizer"));
  }

  void text_config() {
    need("text_encoder");
    const bool anew = fresh("text_encoder");
    tokenizer(r_.has("model.text_encoder.max_position_embeddings") ? r_.integer("model.text_encoder.max_position_embeddings") : 77);
    if (anew) {
      io::Json json = section_json(r_, "model.text_encoder", "model_type", "clip_text_model");
      json["architectures"] = {"CLIPTextModel"};
      fill(json, "max_position_embeddings", m_.tokenizer->max_length());
      json["vocab_size"] = m_.tokenizer->size();
      json["bos_token_id"] = m_.tokenizer->start(), json["eos_token_id"] = m_.tokenizer->end(), json["pad_token_id"] = m_.tokenizer->pad();
      m_.text_encoder.json = json.dump(2) + "\n";
    } else {
      m_.text_encoder.json = io::File(folder("text_encoder") + "/config.json").text(16u << 20);
    }
    m_.text_encoder.config = read_clip_text_config(m_.text_encoder.json, {.path = anew ? r_.place("model.text_encoder").path : folder("text_encoder") + "/config.json", .field = anew ? "model.text_encoder" : ""});
  }

  void unet_config() {
    need("unet");
    const bool anew = fresh("unet");
    if (anew) {
      io::Json json = section_json(r_, "model.unet", "_class_name", "UNet2DConditionModel");
      fill(json, "sample_size", m_.latent[0]);
      fill(json, "in_channels", m_.vae.config.latent_channels);
      fill(json, "out_channels", m_.vae.config.latent_channels);
      fill(json, "cross_attention_dim", m_.text_encoder.config.hidden_size);
      m_.unet.json = json.dump(2) + "\n";
    } else {
      m_.unet.json = io::File(folder("unet") + "/config.json").text(16u << 20);
    }
    m_.unet.config = read_unet_config(m_.unet.json, {.path = anew ? r_.place("model.unet").path : folder("unet") + "/config.json", .field = anew ? "model.unet" : ""});
  }

  void scheduler() {
    std::error_code none;
    const std::string file = folder("scheduler") + "/scheduler_config.json";
    if (!fresh("scheduler") && !path_.empty() && fs::exists(file, none)) {
      m_.scheduler = load_scheduler_config(file);
      return;
    }
    SchedulerConfig c = default_config(r_.has("model.scheduler.kind") ? scheduler_kind(r_.text("model.scheduler.kind")) : SchedulerKind::ddim);
    c.beta_start = 0.00085, c.beta_end = 0.012, c.beta_schedule = BetaSchedule::scaled_linear;  // SD-1.5's
    c.clip_sample = false, c.steps_offset = 1, c.set_alpha_to_one = false;
    io::Json json = io::Json::parse(write_scheduler_config(c));
    for (const char* name : {"num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type"})
      if (const std::string key = std::string("model.scheduler.") + name; r_.has(key)) json[name] = r_.value(key);
    m_.scheduler = read_scheduler_config(json.dump(), {.path = r_.place("model.scheduler").path, .field = "model.scheduler"}, c.kind);
  }

  void check() const {
    const auto mismatch = [&](const char* part, const char* field, Index expected, Index got, const char* why) {
      if (expected != got) r_.wrong("model." + std::string(part), std::string(field) + " does not fit: " + why, std::to_string(expected), std::to_string(got));
    };
    if (!m_.unet.json.empty() && !m_.text_encoder.json.empty())
      mismatch("unet", "cross_attention_dim", m_.text_encoder.config.hidden_size, m_.unet.config.cross_attention_dim[0], "the text encoder's hidden_size");
    if (!m_.unet.json.empty()) {
      mismatch("unet", "in_channels", m_.vae.config.latent_channels, m_.unet.config.in_channels, "the autoencoder's latent_channels");
      mismatch("unet", "out_channels", m_.vae.config.latent_channels, m_.unet.config.out_channels, "the autoencoder's latent_channels");
    }
    if (m_.tokenizer && m_.tokenizer->size() > m_.text_encoder.config.vocab_size)
      r_.wrong("model.tokenizer", "more tokens than the text encoder has", std::to_string(m_.text_encoder.config.vocab_size), std::to_string(m_.tokenizer->size()));
  }

  bool stored(const std::string& part) const { return read_weights_ && !fresh(part); }

  // Its weights, or a generator that makes them.
  template <class Model>
  Params numbers_of(const std::string& name, const Part<Model>& part) {
    Params numbers(device_, rng_ / name);
    if (stored(name)) {
      numbers = load_params<Model>(part.config, folder(name), {}, {.dtype = DType::f32, .device = device_});
      hash_.add(name + " " + weights_hash(folder(name)));
    }
    hash_.add(name + part.json);
    return numbers;
  }

  template <class Model>
  void freeze(Part<Model>& part, Params numbers) {
    numbers.frozen().compute_in(m_.dtype);
    part.frozen.emplace(std::move(numbers));
  }

  template <class Model>
  void add(const std::string& name, Part<Model>& part, bool trained) {
    Params numbers = numbers_of(name, part);
    if (trained) {
      if (stored(name))
        for (const Param& p : numbers) m_.trained.adopt(name + "." + p.name(), p.value());
      part.model.emplace(m_.trained / name, part.config);
      return;
    }
    part.model.emplace(numbers, part.config);
    freeze(part, std::move(numbers));
  }

  // One copy of the weights, frozen; what is trained are the adapters beside them.
  void add_adapted_unet() {
    const Index rank = r_.integer("lora.rank");
    m_.lora = {.rank = rank, .alpha = r_.has("lora.alpha") ? r_.number("lora.alpha") : double(rank), .targets = r_.value("lora.targets").get<std::vector<std::string>>()};
    Params base = numbers_of("unet", m_.unet);
    nn::Adapters adapters(m_.trained / "unet", *m_.lora);
    m_.unet.model.emplace(Scope(base, "").with(adapters), m_.unet.config);
    if (const std::string target = adapters.unmatched(); !target.empty())
      r_.wrong("lora.targets", "no module of the UNet has a name that ends so", "one of " + adapters.endings() + ", or a longer end of a name", target);
    freeze(m_.unet, std::move(base));
  }

  const Recipe& r_;
  const TrainData& data_;
  Device device_;
  bool read_weights_;
  std::string path_;
  Rng rng_;
  TrainModel m_;
  io::Sha256 hash_;
};

template <class Model>
void save_part(const Part<Model>& part, const std::string& name, const Params& from, const std::string& folder, const char* stem) {
  if (part.there()) io::save_component(folder + "/" + name, part.json, stem, part.frozen ? to_checkpoint(*part.frozen) : part_weights(from, name));
}

}  // namespace

TrainModel make_train_model(const Recipe& recipe, const TrainData& data, const Device& device, bool read_weights) {
  return Maker(recipe, data, device, read_weights).make();
}

std::vector<io::NamedTensor> part_weights(const Params& from, const std::string& part) {
  std::vector<io::NamedTensor> tensors;
  for (const Param& p : from)
    if (p.name().starts_with(part + ".")) tensors.push_back({p.name().substr(part.size() + 1), to_checkpoint(p.master())});
  return tensors;
}

void export_model(const TrainModel& m, const Params& from, const std::string& folder, const io::Manifest::About& about, const std::string& adapters) {
  io::FolderWriter out(folder);
  const std::string& dir = out.folder();
  io::ModelIndex index{.class_name = "StableDiffusionPipeline", .components = {}};
  save_part(m.vae, "vae", from, dir, "diffusion_pytorch_model");
  if (m.lora) save_merged(m, adapters, dir);
  else save_part(m.unet, "unet", from, dir, "diffusion_pytorch_model");
  save_part(m.text_encoder, "text_encoder", from, dir, "model");
  save_part(m.judge, "judge", from, dir, "model");
  if (m.tokenizer) {
    fs::create_directories(dir + "/tokenizer");
    m.tokenizer->save(dir + "/tokenizer");
  }
  if (m.judge.there()) {
    out.finish(about);
    return;
  }
  fs::create_directories(dir + "/scheduler");
  const std::string scheduler = write_scheduler_config(m.scheduler);
  io::write_file(dir + "/scheduler/scheduler_config.json", scheduler);
  if (m.unet.there() && m.text_encoder.there() && m.tokenizer) {
    index.components = {{"vae", {"diffusers", "AutoencoderKL"}},           {"unet", {"diffusers", "UNet2DConditionModel"}},
                        {"text_encoder", {"transformers", "CLIPTextModel"}}, {"tokenizer", {"transformers", "CLIPTokenizer"}},
                        {"scheduler", {"diffusers", io::Json::parse(scheduler).at("_class_name").get<std::string>()}}};
    io::write_file(dir + "/model_index.json", io::write_model_index(index));
  }
  out.finish(about);
}

}  // namespace sspo::cli
