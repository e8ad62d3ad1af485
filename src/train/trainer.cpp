#include "sspo/train/trainer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "io/calls.hpp"
#include "io/json.hpp"
#include "sspo/grad/finite_watch.hpp"
#include "sspo/train/event_log.hpp"

namespace sspo {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Mean and variance of recent gradient norms. Kept in the state's notes to the last bit: a resumed run skips what the first one did.
class NormHistory {
 public:
  NormHistory(std::map<std::string, std::string>& notes, double skip_z, Index skip_after) : notes_(notes), skip_z_(skip_z), skip_after_(skip_after) {
    if (skip_z_ <= 0) return;
    count_ = number("norm.count"), mean_ = number("norm.mean"), variance_ = number("norm.variance");
  }
  bool outlier(double norm) {
    if (skip_z_ <= 0) return false;
    const double bound = mean_ + skip_z_ * std::max(std::sqrt(variance_), 1e-3 * mean_);
    const bool skip = count_ >= double(skip_after_) && norm > bound;
    const double seen = skip ? bound : norm;  // an outlier moves the bound by no more than that
    const double weight = std::max(0.02, 1 / (count_ + 1)), d = seen - mean_;
    mean_ += weight * d;
    variance_ = (1 - weight) * (variance_ + weight * d * d);
    count_ += 1;
    note("norm.count", count_), note("norm.mean", mean_), note("norm.variance", variance_);
    return skip;
  }

 private:
  double number(const char* name) const {
    const auto it = notes_.find(name);
    return it == notes_.end() ? 0 : std::strtod(it->second.c_str(), nullptr);
  }
  void note(const char* name, double value) {
    char text[40];
    std::snprintf(text, sizeof text, "%a", value);  // exact
    notes_[name] = text;
  }
  std::map<std::string, std::string>& notes_;
  double skip_z_, count_ = 0, mean_ = 0, variance_ = 0;
  Index skip_after_;
};

class Durations {  // of recent steps
 public:
  void add(double seconds) {
    recent_.push_back(seconds);
    if (recent_.size() > 32) recent_.erase(recent_.begin());
  }
  double median() const {
    std::vector<double> s = recent_;
    std::nth_element(s.begin(), s.begin() + std::ptrdiff_t(s.size() / 2), s.end());
    return s[s.size() / 2];
  }

 private:
  std::vector<double> recent_;
};

std::string text_of(double x) { return std::isnan(x) ? "NaN" : std::to_string(x); }

io::Json json_of(const Statistics& s) {
  return {{"count", s.count}, {"nan", s.nan}, {"infinite", s.infinite}, {"min", s.min}, {"max", s.max}, {"mean", s.mean}};
}
io::Json json_of(const FiniteWatch::Operand& x) { return {{"tensor", x.tensor}, {"parameter", x.name}, {"statistics", json_of(x.statistics)}}; }

// Promise F: the step once more, each op looked at; a report; no update, no save.
[[noreturn]] void stop_at_non_finite(const Task& task, Index step, double loss, double norm, const RunFolder& run, Site at) {
  FiniteWatch watch;
  try {
    task.gradients(step);
  } catch (const Error&) {  // an op that refuses such numbers: what was found before counts
  }
  const std::string number = std::to_string(step + 1), folder = run / ("nan-step-" + number), what = "loss " + text_of(loss) + ", gradient norm " + text_of(norm);
  io::Json report = {{"step", step + 1}, {"loss", text_of(loss)}, {"gradient_norm", text_of(norm)}};
  std::string where = "no op's result is: the sum of squares of the gradient overflows";
  if (const auto& first = watch.first()) {
    io::Json inputs = io::Json::array();
    bool finite = true;
    for (const FiniteWatch::Operand& x : first->inputs) {
      inputs.push_back(json_of(x));
      finite = finite && x.statistics.nan + x.statistics.infinite == 0;
    }
    report["first_op"] = {{"op", first->op}, {"inputs_finite", finite}, {"inputs", inputs}, {"output", json_of(first->output)}, {"nearest_parameter", first->nearest_parameter}};
    where = "the first op is " + first->op + ", near the parameter '" + first->nearest_parameter + "', " + (finite ? "from finite inputs" : "which was given such numbers");
  }
  if (task.describe) report["batch"] = io::Json::parse(task.describe(step));
  if (const std::error_code error = io::make_folders(folder)) fail({.op = folder, .what = "the folder cannot be made: " + error.message(), .kind = ErrorKind::io}, at);
  io::write_file(folder + "/report.json", report.dump(2) + "\n");
  fail({.op = "step " + number, .what = "numbers are not finite: " + what, .expected = "finite numbers; nothing was updated or saved", .got = where,
        .hint = "see " + io::printable(folder, 4096) + "/report.json; a smaller learning rate, or --set train.dtype=f32", .kind = ErrorKind::non_finite}, at);
}

}  // namespace

TrainReport train(const Task& task, TrainingState& state, const RunFolder& run, Checkpoints& checkpoints, const TrainOptions& o, Site at) {
  if (task.steps < 1 || task.phase_steps < 0 || !task.gradients || o.save_every < 1 || !(o.clip_norm >= 0))
    fail({.op = "train", .what = "nothing to train", .expected = "a step or more, a gradient, save_every >= 1, clip_norm >= 0", .got = std::to_string(task.steps) + " steps"}, at);
  const auto beat = [&](const char* doing) { if (o.watchdog) o.watchdog->beat(doing); };
  MetricsLog metrics(run / "metrics.jsonl", state.step);
  EventLog events(run.path(), state.step);
  if (o.say && metrics.last() < state.step)
    o.say("metrics.jsonl: the lines of steps " + std::to_string(metrics.last() + 1) + " to " + std::to_string(state.step) + " are lost; the run itself is whole");
  NormHistory norms(state.notes, o.skip_z, o.skip_after);
  Durations durations;
  TrainReport report;
  Index saved = checkpoints.steps().empty() ? -1 : state.step, begun = 0;
  double phase_seconds = 0;  // what the phase took before its first step: self-sampling
  const auto save = [&] {
    if (saved == state.step) return;
    beat("saving a checkpoint");
    metrics.sync();
    checkpoints.save(state);
    saved = state.step;
    checkpoints.prune(o.keep);
  };

  for (;;) {
    if (o.signal) report.signal = o.signal();
    if (report.signal || state.step >= task.steps) break;
    const Index step = state.step, phase = task.phase_steps ? step / task.phase_steps + 1 : 1;
    if (phase != begun && task.begin_phase) {
      beat("beginning a phase");
      const Clock::time_point start = Clock::now();
      if (!task.begin_phase(phase, task.phase_steps ? step % task.phase_steps : step)) {
        if (!o.signal || !o.signal()) fail({.op = "train", .what = "the phase did not begin, though nothing asked it to stop", .kind = ErrorKind::internal}, at);
        continue;
      }
      phase_seconds = since(start);
    }
    begun = phase;

    beat("a training step");
    const Clock::time_point start = Clock::now();
    const StepResult result = task.gradients(step);
    const double norm = global_norm(result.gradients), lr = o.lr(step);
    if (!std::isfinite(result.loss) || !std::isfinite(norm)) stop_at_non_finite(task, step, result.loss, norm, run, at);
    const bool skip = norms.outlier(norm);
    if (skip) {
      ++report.skipped;
      if (o.say) o.say("step " + std::to_string(step + 1) + " skipped: its gradient norm " + text_of(norm) + " is an outlier");
    } else {
      state.optimizer.step(ClippedGradients{result.gradients, norm, o.clip_norm > 0 && norm > o.clip_norm ? o.clip_norm / norm : 1}, lr, at);
      if (state.ema) state.ema->update(state.params, at);
    }
    ++state.step;

    const double seconds = since(start);
    durations.add(seconds);
    if (o.watchdog) o.watchdog->expect(durations.median());
    std::vector<Metric> line = {{"phase", double(phase)}, {"loss", result.loss}, {"grad_norm", norm}, {"lr", lr}, {"skipped", double(skip)}};
    line.insert(line.end(), result.metrics.begin(), result.metrics.end());
    line.insert(line.end(), {{"wall_ms", 1e3 * seconds}, {"wall_samples_per_s", double(task.batch) / seconds}, {"wall_peak_bytes", double(state.params.device().memory().peak)}});
    if (phase_seconds > 0) line.push_back({"wall_phase_ms", 1e3 * std::exchange(phase_seconds, 0)});
    metrics.add(state.step, line);
    events.add(state.step, line);
    if (o.progress) {
      char note[96];
      std::snprintf(note, sizeof note, "phase %lld, loss %.4f, gradient %.3g", static_cast<long long>(phase), result.loss, norm);
      o.progress(state.step, note);
    }
    if (state.step % o.save_every == 0) save();
  }
  save();
  report.steps = state.step;
  return report;
}

}  // namespace sspo
