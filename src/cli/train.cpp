#include "cli/train.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "cli/device.hpp"
#include "cli/plan.hpp"
#include "cli/progress.hpp"
#include "cli/signals.hpp"
#include "cli/train_optimizer.hpp"
#include "cli/train_policy.hpp"
#include "cli/train_tasks.hpp"
#include "report/run_page.hpp"
#include "sspo/io/hash.hpp"
#include "sspo/train/scratch_file.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

void say(const std::string& line) { fmt::print(stderr, "{}\n", io::printable(line, 4096)); }

LearningRate lr_of(const Recipe& r, Index steps) {
  const double lr = r.number("optimizer.lr"), end = r.number("lr.end");
  const std::string kind = r.text("lr.schedule");
  const LearningRate then = kind == "cosine" ? cosine_lr(lr, steps, end) : kind == "linear" ? linear_lr(lr, steps, end) : constant_lr(lr);
  const Index warm = r.has("lr.warmup") ? r.integer("lr.warmup") : Index(std::lround(r.number("lr.warmup_share") * double(steps)));
  return warm > 0 ? warmup(then, warm) : then;
}

// The adapters as diffusers and sspo sample --lora read them.
void export_adapters(const TrainModel& model, const Params& from, const std::string& folder, io::Manifest::About about) {
  std::error_code none;
  if (fs::exists(folder, none)) {
    io::verify_folder(folder);
    return;
  }
  io::FolderWriter out(folder);
  save_policy(model, from, out.folder());
  about["kind"] = "lora";
  out.finish(about);
}

// A folder that holds a run is gone on with, or left alone.
void check_folder(const TrainCommand& o) {
  if (o.resume != "never" || o.cache_only) return;
  std::error_code none;
  for (const char* name : {"recipe.toml", "metrics.jsonl", "checkpoints"})
    if (fs::exists(o.out + "/" + name, none))
      fail({.op = io::printable(o.out, 4096), .what = std::string("holds a run already: ") + name, .hint = "--resume auto goes on with it; or choose another --out"}, Site{});
}

// A task computes what it needs once, latents and states of captions, when it is made.
TrainSummary fill_caches(const Recipe& recipe, const TrainData& data, TrainModel& model, const RunFolder& run, const Device& device) {
  if (recipe.kind() == pretrain_vae) recipe.wrong("objective", "--cache-only: the pictures go through an autoencoder in training at every step", "an objective with a frozen one", "pretrain-vae");
  run.require_space(cache_bytes(recipe, model, data), "caches");
  Watchdog watchdog(recipe.number("train.watchdog_s"), run.path());
  make_task({.recipe = recipe, .data = data, .model = model, .run = run, .device = device, .watchdog = watchdog, .say = say});
  const std::string folder = recipe.text("data.cache").empty() ? run / "cache" : recipe.text("data.cache");
  return {.model = folder, .seed = recipe.integer("seed"), .peak_tensor_bytes = device.memory().peak};
}

}  // namespace

TrainSummary train(const TrainCommand& o) {
  const Recipe recipe = read_recipe(o.recipe, o.settings);
  check_folder(o);
  const Device device = device_of(o.device, o.max_memory.empty() ? 0 : bytes_of(o.max_memory), packed_in_training);
  std::error_code none;
  const bool begun = fs::exists(o.out + "/recipe.toml", none);  // then its pictures were looked at
  const TrainData data = open_train_data(recipe, say, {.decode = !begun});
  if (!o.max_memory.empty()) require_memory(plan_memory(recipe, data, {.cpu = {.threads = o.device.threads, .isa = o.device.isa}}), bytes_of(o.max_memory));
  TrainModel model = make_train_model(recipe, data, device);
  stop_if_interrupted();

  const RunFolder run(o.out);
  if (o.cache_only) return fill_caches(recipe, data, model, run, device);
  const std::string resolved = recipe.resolved();
  run.keep_recipe(resolved);
  Checkpoints checkpoints(run / "checkpoints", io::sha256_hex(resolved + model.digest + data.digest));
  run.require_space(disk_bytes(recipe, model, data), "checkpoints, caches and the model");
  Keep keep;
  if (masters_on_disk(recipe)) model.trained.keep_masters(model.dtype, keep = ScratchFile(o.out).keep());
  const std::unique_ptr<Optimizer> optimizer = make_optimizer(recipe, model.trained, keep);
  const double decay = recipe.number("train.ema");
  std::optional<Ema> ema;
  if (decay > 0) ema.emplace(model.trained, decay);
  TrainingState state{.params = model.trained, .optimizer = *optimizer, .ema = ema ? &*ema : nullptr};
  if (o.resume == "auto") {
    if (checkpoints.resume(state, say)) say(fmt::format("resumed after step {}", state.step));
    else say("no checkpoint yet: training starts at the beginning");
  } else if (o.resume != "never") {
    checkpoints.load(o.resume, state);
    say(fmt::format("resumed after step {}", state.step));
  }

  Watchdog watchdog(recipe.number("train.watchdog_s"), o.out);
  const TrainContext context{.recipe = recipe, .data = data, .model = model, .run = run, .device = device, .watchdog = watchdog, .say = say};
  const Task task = make_task(context);
  Index parameters = model.trained.numel();
  say(fmt::format("{}: {} steps of {}, {} samples, {} parameters, seed {}, {}", recipe.text("objective"), task.steps, task.batch, data.size(), parameters, recipe.integer("seed"), device.name()));
  Progress progress("training", task.steps, state.step);
  TrainOptions options{.lr = lr_of(recipe, task.steps), .clip_norm = recipe.number("train.clip_norm"), .skip_z = recipe.number("train.skip_z"),
                       .skip_after = recipe.integer("train.skip_after"), .save_every = recipe.integer("train.save_every"), .keep = recipe.integer("train.keep")};
  options.signal = signal_received;
  options.say = say;
  options.progress = [&](Index done, const std::string& note) { progress.update(done, note); };
  options.watchdog = &watchdog;
  const TrainReport report = train(task, state, run, checkpoints, options);
  if (report.signal) {
    say(fmt::format("stopped after step {}; --resume auto goes on", report.steps));
    throw Interrupted{report.signal};
  }

  watchdog.beat("exporting the model");
  const Params& result = ema ? ema->params() : model.trained;
  const io::Manifest::About about{{"kind", "model"}, {"step", std::to_string(report.steps)}, {"objective", recipe.text("objective")}};
  const bool adapters_alone = model.lora && !recipe.boolean("lora.merge");
  if (model.lora) export_adapters(model, result, run / "lora", about);
  const std::string folder = adapters_alone ? last_policy(model, run.path()) : run / "model";
  if (!fs::exists(folder, none)) {
    if (recipe.kind() == pretrain_vae && !recipe.given("model.vae.scaling_factor")) {
      if (ema)
        for (Param p : model.trained) p.assign(ema->params()[p.name()].value());
      const double factor = measured_scaling_factor(context, *model.vae.model);
      io::Json json = io::Json::parse(model.vae.json);
      json["scaling_factor"] = factor;
      model.vae.json = json.dump(2) + "\n";
      say(fmt::format("scaling_factor {:.4f}: one over the latents' standard deviation", factor));
    }
    if (recipe.kind() == judge) test_judge(context, result);
    export_model(model, result, folder, about, run / "lora");
  } else {
    io::verify_folder(folder);
  }
  io::write_file(run / "report.html", report::run_report(run.path()));
  return {folder, report.steps, report.skipped, recipe.integer("seed"), device.memory().peak};
}

void train_and_tell(const TrainCommand& o) {
  const TrainSummary t = train(o);
  if (o.json)
    fmt::print("{}\n", io::Json{{"out", io::printable(o.out, 4096)}, {"model", io::printable(t.model, 4096)}, {"steps", t.steps}, {"skipped", t.skipped},
                                {"seed", t.seed}, {"peak_tensor_bytes", t.peak_tensor_bytes}}.dump());
  else
    say(fmt::format("{}: {}, peak {:.0f} MiB in tensors", t.model, o.cache_only ? "the caches are full" : "trained", double(t.peak_tensor_bytes) / (1 << 20)));
}

}  // namespace sspo::cli
