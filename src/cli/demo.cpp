#include "cli/demo.hpp"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "cli/data.hpp"
#include "cli/demo_log.hpp"
#include "cli/recipes.hpp"
#include "cli/reconstruction.hpp"
#include "cli/signals.hpp"
#include "cli/train.hpp"
#include "sspo/models/weights.hpp"
#include "sspo/train/run_folder.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;
using Settings = std::vector<std::string>;

// How much of everything. Full: the sizes of recipes/emoji.
struct Scale {
  Settings vae, judge, base, few, all;  // on top of the recipes; few: winners for a quarter of the names; all: for each
  Index seeds, counter_seeds;           // of either setting
};
const Scale full = {.vae = {}, .judge = {}, .base = {}, .few = {}, .all = {"preference.phases=3", "preference.prompts=128"}, .seeds = 3, .counter_seeds = 1};
const Scale quick = {.vae = {"train.steps=150"}, .judge = {"train.steps=100"}, .base = {"train.steps=250", "train.batch=32"},
                     .few = {"preference.phases=3", "preference.updates=8", "preference.prompts=24", "train.batch=16"}, .all = {}, .seeds = 1, .counter_seeds = 0};

// Each has its own rate and kappa, in its recipe.
struct Method {
  const char *name, *recipe;
  Settings settings = {};
};
const std::vector<Method> methods = {{"sft", "sft"}, {"dpo", "dpo"}, {"spin", "spin"}, {"sspo", "sspo"}, {"sspo-coin", "sspo", {"preference.gate=random"}}};

struct Stage {
  std::string name;                       // also where it lies
  double work;                            // its share of the whole, in any unit
  std::function<std::size_t()> run;       // returns the peak of bytes in tensors
};

class Demo {
 public:
  explicit Demo(const DemoOptions& o) : o_(o), scale_(o.quick ? quick : full), seeds_(o.seeds ? o.seeds : scale_.seeds) {
    require_demo_or_nothing(o.out);
    folder_.emplace(o.out);
    log_.emplace(o.out, io::Json{{"data", o.data}, {"quick", o.quick}, {"seeds", seeds_}});
  }

  void run() {
    write_recipes();
    add_stages();
    double left = 0;
    for (const Stage& s : stages_) left += log_->done(s.name) ? 0 : s.work;
    double worked = 0, seconds = 0;
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      const Stage& s = stages_[i];
      if (log_->done(s.name)) continue;
      const std::string eta = worked > 0 ? fmt::format(", about {:.0f} min left in all", std::max(1.0, left * seconds / worked / 60)) : "";
      fmt::print(stderr, "[{}/{}] {}{}\n", i + 1, stages_.size(), s.name, eta);
      const double spent = run_stage(s);
      worked += s.work, seconds += spent, left -= s.work;
    }
    summary();
  }

 private:
  std::string at(const std::string& name) const { return o_.out + "/" + name; }

  double run_stage(const Stage& s) {
    const auto start = std::chrono::steady_clock::now();
    const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
    try {
      stop_if_interrupted();
      const std::size_t peak = s.run();
      log_->spent(s.name, seconds(), peak, true);
    } catch (const Interrupted&) {
      log_->spent(s.name, seconds(), 0, false);
      fmt::print(stderr, "the same command goes on from here\n");
      throw;
    }
    return seconds();
  }

  // The recipes lie beside what they made: each run can be repeated by sspo train.
  void write_recipes() const {
    for (const char* name : {"recipes", "runs", "scores"}) fs::create_directories(at(name));
    for (const auto& [name, text] : emoji_recipes()) io::write_file(at("recipes/" + std::string(name) + ".toml"), text);
  }

  std::size_t train_run(const std::string& run, const std::string& recipe, Settings settings, const std::string& model = {}) const {
    settings.push_back("data.path=" + toml_text(at("data")));
    if (!model.empty()) settings.push_back("model.path=" + toml_text(model));
    const TrainSummary t = train({.recipe = at("recipes/" + recipe + ".toml"), .out = at(run), .resume = "auto", .settings = settings, .max_memory = {}, .threads = o_.threads, .isa = o_.isa});
    return t.peak_tensor_bytes;
  }
  static std::string toml_text(const std::string& text) { return io::Json(text).dump(); }

  void add_stages() {
    stages_.push_back({"data", 0.3, [this] { return make_data(), std::size_t(0); }});
    stages_.push_back({"vae", 12, [this] {
      const std::size_t peak = train_run("vae", "vae", scale_.vae);
      measure_autoencoder();
      return peak;
    }});
    stages_.push_back({"base", 33, [this] { return train_run("base", "base", scale_.base, at("vae/model")); }});
    for (Index seed = 1; seed <= seeds_; ++seed)
      for (const Method& m : methods) align("few", m, seed, scale_.few);
    for (Index seed = 1; seed <= scale_.counter_seeds; ++seed)
      for (const Method& m : methods)
        if (m.settings.empty()) align("all", m, seed, scale_.all);
  }

  void align(const std::string& setting, const Method& m, Index seed, Settings settings) {
    const std::string name = fmt::format("{}-{}-{}", setting, m.name, seed);
    settings.insert(settings.end(), m.settings.begin(), m.settings.end());
    settings.push_back(fmt::format("seed={}", seed));
    stages_.push_back({"runs/" + name, 5, [=, this] {
      const std::string where = fmt::format("data.where=[\"split=train\", \"theme=yes\", \"style={}\"{}]", preferred(), setting == "few" ? ", \"quarter=1\"" : "");
      Settings all = settings;
      all.push_back(where);
      return train_run("runs/" + name, m.recipe, all, at("base/model"));
    }});
  }

  // Emoji; where their packages are not, and nobody insists, generated scenes in two drawings.
  void make_data() {
    std::string kind = o_.data;
    if (kind != "shapes") try {
        data_emoji({.out = at("data"), .font = {}, .names = {}, .pngs = {}, .force = true});
        kind = "emoji";
      } catch (const Error& e) {
        if (kind == "emoji" || e.info().kind == ErrorKind::io) throw;
        fmt::print(stderr, "no emoji: {}\nthe demo goes on with generated shapes\n", e.info().what + "; " + e.info().hint);
        kind = "shapes";
      }
    if (kind == "shapes") data_shapes({.out = at("data"), .judge = {}, .count = 1100, .styles = true, .force = true});
    log_->set("pictures", kind);
  }
  std::string preferred() const { return log_->json().at("pictures") == "emoji" ? "noto" : "filled"; }

  // scores/autoencoder.json: how well it gives back what it saw, and what it did not.
  void measure_autoencoder() const {
    const Device device = Device::cpu({.threads = o_.threads, .isa = o_.isa});
    const VaeConfig config = load_vae_config(at("vae/model/vae/config.json"));
    Params numbers = load_params<Autoencoder>(config, at("vae/model/vae"), {}, {.device = device});
    numbers.frozen();
    const Autoencoder vae(numbers, config);
    const io::Dataset data = io::open_dataset(at("data"));
    io::Json json;
    for (const char* split : {"train", "held-out"})
      json[split] = json_of(reconstruct(vae, data, Where({std::string("split=") + split}, {}), device));
    io::write_file(at("scores/autoencoder.json"), json.dump(2) + "\n");
    fmt::print(stderr, "autoencoder: PSNR {:.1f} dB on training pictures, {:.1f} dB held out\n", json["train"]["psnr"].get<double>(), json["held-out"]["psnr"].get<double>());
  }

  void summary() const {}

  const DemoOptions& o_;
  const Scale& scale_;
  Index seeds_;
  std::optional<RunFolder> folder_;
  std::optional<DemoLog> log_;
  std::vector<Stage> stages_;
};

}  // namespace

void demo(const DemoOptions& options) { Demo(options).run(); }

}  // namespace sspo::cli
