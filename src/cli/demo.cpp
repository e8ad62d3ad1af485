#include "cli/demo.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>

#include "cli/data.hpp"
#include "cli/demo_record.hpp"
#include "cli/demo_plan.hpp"
#include "cli/eval.hpp"
#include "cli/gate.hpp"
#include "cli/pair.hpp"
#include "cli/recipe.hpp"
#include "cli/recipes.hpp"
#include "cli/reconstruction.hpp"
#include "cli/report.hpp"
#include "cli/signals.hpp"
#include "cli/train.hpp"
#include "report/scores.hpp"
#include "sspo/models/stable_diffusion.hpp"
#include "sspo/train/run_folder.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

struct Stage {
  std::string name;                  // where its result lies, too
  double work;                       // in any unit, the same for all
  std::function<std::size_t()> run;  // the most bytes there were in tensors, or 0
};

std::string toml(const std::string& text) { return io::Json(text).dump(); }

class Demo {
 public:
  explicit Demo(const DemoOptions& o) : o_(o), size_(demo_size(o.size)), seeds_(o.seeds ? o.seeds : size_.seeds) {
    require_demo_or_nothing(o.out);
    folder_.emplace(o.out);
    record_.emplace(o.out, io::Json{{"data", o.data}, {"size", o.size}, {"seeds", seeds_}});
    for (const char* name : {"recipes", "runs", "scores"}) fs::create_directories(at(name));
    for (const auto& [name, text] : emoji_recipes()) io::write_file(at("recipes/" + std::string(name) + ".toml"), text);
    plan();
    record_->set("version", fmt::format("{}.{}.{}", version_major, version_minor, version_patch));
    record_->set("device", Device::cpu({.threads = o.threads, .isa = o.isa}).name());
  }

  void run() {
    double left = 0, worked = 0, seconds = 0;
    for (const Stage& s : stages_) left += record_->done(s.name) ? 0 : s.work;
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      const Stage& s = stages_[i];
      if (record_->done(s.name)) continue;
      const std::string rest = worked > 0 ? fmt::format(", about {:.0f} min left in all", std::max(1.0, left * seconds / worked / 60)) : "";
      fmt::print(stderr, "[{}/{}] {}{}\n", i + 1, stages_.size(), s.name, rest);
      seconds += run_stage(s), worked += s.work, left -= s.work;
    }
    write_report({.folder = o_.out, .out = {}});
    tell();
  }

 private:
  std::string at(const std::string& name) const { return o_.out + "/" + name; }

  double run_stage(const Stage& s) {
    const auto start = std::chrono::steady_clock::now();
    const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
    try {
      stop_if_interrupted();
      const std::size_t peak = s.run();
      record_->spent(s.name, seconds(), peak, true);
    } catch (const Interrupted&) {
      record_->spent(s.name, seconds(), 0, false);
      fmt::print(stderr, "stopped in {}; the same command goes on from here\n", s.name);
      throw;
    }
    return seconds();
  }

  void plan() {
    add("data", 3, [this] { return make_data(); });
    add("vae", size_.vae_s, [this] {
      const std::size_t peak = train_run("vae", "vae", size_.vae, "");
      measure_autoencoder();
      return peak;
    });
    add("judge", size_.judge_s, [this] { return train_run("judge", "judge", size_.judge, "vae/model"); });
    add("base", size_.base_s, [this] { return train_run("base", "base", size_.base, "vae/model"); });
    add("scores/real-preferred", 1, [this] { return score_real("real-preferred", preferred_style()); });
    add("scores/real-other", 1, [this] { return score_real("real-other", other_style()); });
    add_score("base", "base/model");
    for (Index seed = 1; seed <= seeds_; ++seed)
      for (const Method& m : demo_methods()) align("few", m, seed, size_.few);
    for (Index seed = 1; seed <= std::min(seeds_, size_.counter_seeds); ++seed)
      for (const Method& m : demo_methods()) align("all", m, seed, size_.all);
  }
  void add(const std::string& name, double work, std::function<std::size_t()> run) { stages_.push_back({name, work, std::move(run)}); }

  void align(const std::string& setting, const Method& m, Index seed, Settings settings) {
    const std::string name = fmt::format("{}-{}-{}", setting, m.name, seed), run = "runs/" + name;
    settings.push_back(fmt::format("seed={}", seed));
    add(run, m.cost * size_.align_s, [=, this] {
      Settings all = settings;
      all.push_back(where(setting == "few" ? Settings{"style=" + preferred_style(), "theme=yes", "split=train", "quarter=1"} : Settings{"style=" + preferred_style(), "theme=yes", "split=train"}));
      return train_run(run, m.name, all, "base/model");
    });
    add_score(name, run + "/model");
    if (setting != "few" || seed != 1) return;
    if (m.name == "sspo") {
      add(run + "/pair.json", 1, [=, this] {
        pair({.run = at(run), .timesteps = {}, .threads = o_.threads, .isa = o_.isa});
        return std::size_t(0);
      });
      add(run + "/gate.json", size_.score_s, [=, this] {
        gate({.run = at(run), .judge = at("judge/model"), .draws = size_.draws, .prefer = preferred_style(), .device = {.isa = o_.isa, .threads = o_.threads}});
        return std::size_t(0);
      });
    }
    const Index phases = read_recipe(at("recipes/" + m.name + ".toml"), settings).integer("preference.phases");
    for (Index k = size_.curve_every; k > 0 && k < phases; k += size_.curve_every) {
      const std::string part = fmt::format("{}-phase-{}", name, k);
      add("scores/" + part, size_.score_s, [=, this] { return score_model(part, "base/model", fmt::format("{}/pool/{}/unet", run, k)); });
    }
  }
  void add_score(const std::string& name, const std::string& model) {
    add("scores/" + name, size_.score_s, [=, this] { return score_model(name, model); });
  }

  // Emoji; where their packages are not, and nobody insists, generated scenes in two drawings.
  std::size_t make_data() {
    std::string kind = o_.data;
    if (kind != "shapes") try {
        data_emoji({.out = at("data"), .font = {}, .names = {}, .pngs = {}, .force = true});
        kind = "emoji";
      } catch (const Error& e) {
        if (kind == "emoji" || e.info().kind == ErrorKind::io) throw;
        fmt::print(stderr, "no emoji: {}; {}\nthe demo goes on with generated shapes\n", e.info().what, e.info().hint);
        kind = "shapes";
      }
    if (kind == "shapes") data_shapes({.out = at("data"), .judge = {}, .count = size_.shapes, .styles = true, .force = true});
    record_->set("pictures", kind);
    return 0;
  }
  bool emoji() const { return record_->json().at("pictures") == "emoji"; }
  std::string preferred_style() const { return emoji() ? "noto" : "filled"; }
  std::string other_style() const { return emoji() ? "emojione" : "hollow"; }
  static std::string where(const Settings& conditions) { return "data.where=" + io::Json(conditions).dump(); }

  std::size_t train_run(const std::string& run, const std::string& recipe, Settings settings, const std::string& model) const {
    settings.push_back("data.path=" + toml(at("data")));
    if (!model.empty()) settings.push_back("model.path=" + toml(at(model)));
    return train({.recipe = at("recipes/" + recipe + ".toml"), .out = at(run), .resume = "auto", .settings = settings, .max_memory = {}, .device = {.isa = o_.isa, .threads = o_.threads}}).peak_tensor_bytes;
  }

  Settings judged() const {  // names that alignment saw no winner of, training's and those held out
    Settings all = {"theme=yes", "quarter!=1"};
    all.insert(all.end(), size_.judged.begin(), size_.judged.end());
    return all;
  }
  std::size_t score(const std::string& name, EvalOptions o) const {
    o.judge = at("judge/model"), o.data = at("data"), o.out = at("scores/" + name), o.frechet_where = {"theme=yes", "split=train"};
    o.prefer = preferred_style(), o.steps = size_.steps, o.threads = o_.threads, o.isa = o_.isa;
    evaluate(o);
    return 0;
  }
  std::size_t score_real(const std::string& name, const std::string& style) const {
    EvalOptions o;
    o.real = style, o.where = judged();
    return score(name, o);
  }
  std::size_t score_model(const std::string& name, const std::string& model, const std::string& unet = {}) const {
    EvalOptions o;
    o.model = at(model), o.where = judged(), o.unet = unet.empty() ? "" : at(unet);
    return score(name, o);
  }

  // scores/autoencoder.json: how well it gives back what it saw, and what it did not.
  void measure_autoencoder() const {
    const Device device = Device::cpu({.threads = o_.threads, .isa = o_.isa});
    const auto vae = load_component<Autoencoder>(at("vae/model/vae"), load_vae_config(at("vae/model/vae/config.json")), {}, {.device = device});
    const io::Dataset data = io::open_dataset(at("data"));
    io::Json json;
    for (const char* split : {"train", "held-out"}) json[split] = json_of(reconstruct(vae, data, Where({std::string("split=") + split}, {}), device));
    io::write_file(at("scores/autoencoder.json"), json.dump(2) + "\n");
    fmt::print(stderr, "autoencoder: PSNR {:.1f} dB on training pictures, {:.1f} dB held out\n", json["train"]["psnr"].get<double>(), json["held-out"]["psnr"].get<double>());
  }

  // Means over seeds: scores, on names that had no winner.
  void tell() const {
    std::vector<std::pair<std::string, std::vector<std::string>>> rows = {{"real, preferred", {"real-preferred"}}, {"real, the other", {"real-other"}}, {"base", {"base"}}};
    for (const std::string setting : {"few", "all"})
      for (const Method& m : demo_methods()) {
        std::vector<std::string> names;
        for (Index seed = 1; seed <= seeds_; ++seed)
          if (const std::string name = fmt::format("{}-{}-{}", setting, m.name, seed); record_->done("scores/" + name)) names.push_back(name);
        if (!names.empty()) rows.emplace_back(setting == "few" ? m.name : m.name + ", a winner each", names);
      }
    io::Json table = io::Json::array();
    for (const auto& [label, names] : rows) {
      io::Json row = {{"model", label}, {"runs", names.size()}};
      for (const std::string& name : names) {
        const report::Scored scored = report::read_scores(at("scores/" + name));
        const auto mean = [&, runs = double(names.size())](const std::string& key, double value) { row[key] = row.value(key, 0.0) + value / runs; };
        for (const report::Measure& m : report::measures()) mean(m.name, report::mean_of(scored, m, "train"));
        if (scored.summary.contains("frechet")) mean("frechet", scored.summary.at("frechet").get<double>());
      }
      table.push_back(row);
    }
    if (o_.json) {
      fmt::print("{}\n", io::Json{{"out", o_.out}, {"pictures", record_->json().at("pictures")}, {"scores", table}}.dump(2));
      return;
    }
    fmt::print("{:<24} {:>4} {:>6} {:>6} {:>8} {:>6} {:>8}\n", "", "runs", "near", "style", "caption", "R@1", "Frechet");
    for (const io::Json& row : table)
      fmt::print("{:<24} {:>4} {:>6.3f} {:>6.3f} {:>8.3f} {:>6.3f} {:>8}\n", row["model"].get<std::string>(), row["runs"].get<int>(), row["near"].get<double>(), row["style"].get<double>(),
                 row["caption"].get<double>(), row["R@1"].get<double>(), row.contains("frechet") ? fmt::format("{:.1f}", row["frechet"].get<double>()) : "");
  }

  const DemoOptions& o_;
  const DemoSize& size_;
  Index seeds_;
  std::optional<RunFolder> folder_;
  std::optional<DemoRecord> record_;
  std::vector<Stage> stages_;
};

}  // namespace

void demo(const DemoOptions& options) { Demo(options).run(); }

}  // namespace sspo::cli
