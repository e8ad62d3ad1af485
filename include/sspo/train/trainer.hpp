// The training loop, one for every objective. It knows none by name: a task is a value that says how many steps there are and
// what the gradient of each is.
//   Task task{.steps = 90, .gradients = [&](Index step) { return StepResult{...}; }};
//   TrainReport report = train(task, state, run, checkpoints, {.lr = constant_lr(1e-4)});
// Read train() in src/train/trainer.cpp: phase, gradient, check, clip, step, average, log, save.
#pragma once
#include <string>
#include <vector>

#include "sspo/train/checkpoint.hpp"
#include "sspo/train/lr.hpp"
#include "sspo/train/run_folder.hpp"
#include "sspo/train/watchdog.hpp"

namespace sspo {

struct StepResult {
  Gradients gradients;             // of the whole batch
  double loss = 0;
  std::vector<Metric> metrics = {};  // whatever else one wants to see
};

struct Task {
  Index steps = 0;
  Index phase_steps = 0;                        // steps a phase; 0: all are one phase
  Index batch = 1;                              // samples a step, for the count of samples a second
  // Before the first step of phase 1, 2, ...; `done` of its steps are already taken when a run is resumed inside it. False: it was
  // asked to stop (TrainOptions::signal) and goes on where it was when called again.
  Function<bool(Index phase, Index done)> begin_phase = {};
  // Step 0, 1, ...: a function of the step and of the parameters alone, so that any step can be made again.
  Function<StepResult(Index step)> gradients;
  // What a step was made of (samples, times, signs), as JSON text, for the report on numbers that are not finite.
  Function<std::string(Index step)> describe = {};
};

struct TrainOptions {
  LearningRate lr = constant_lr(1e-4);
  double clip_norm = 1;                 // bound of the gradient's norm; 0: none
  // A step whose gradient norm lies more than skip_z standard deviations above the recent mean changes nothing; 0: none is skipped.
  double skip_z = 0;
  Index skip_after = 20;                // norms to see first
  Index save_every = 100, keep = 3;     // steps; checkpoints that stay
  Function<int()> signal = {};          // the number of a signal that came, or 0: asked between steps
  Function<void(const std::string&)> say = {};                        // talk
  Function<void(Index done, const std::string& note)> progress = {};  // after each step
  Watchdog* watchdog = nullptr;
};

struct TrainReport {
  Index steps = 0;   // finished in all
  Index skipped = 0; // of this process
  int signal = 0;    // not 0: stopped by it, with a checkpoint of all finished steps
};

// From state.step to task.steps. state.ema follows the parameters if it is there. Error{non_finite}: loss or gradient became NaN or
// infinite; nothing was changed, and RUN/nan-step-N/report.json names the first op that made such a number.
TrainReport train(const Task& task, TrainingState& state, const RunFolder& run, Checkpoints& checkpoints, const TrainOptions& options, Site at = Site::current());

}  // namespace sspo
