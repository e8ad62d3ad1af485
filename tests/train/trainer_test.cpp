// The loop: a run that is stopped and resumed equals the uninterrupted one; outliers are skipped, NaN is traced to its op.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

#include "io/folder.hpp"
#include "io/json.hpp"
#include "sspo/grad/finite_watch.hpp"
#include "sspo/train/trainer.hpp"
#include "train/state.hpp"

using namespace sspo;
using namespace sspo::testing;
namespace fs = std::filesystem;

namespace {

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Without what depends on the clock.
std::string metrics_of(const std::string& folder) {
  std::istringstream lines(content(folder + "/metrics.jsonl"));
  std::string all, line;
  while (std::getline(lines, line)) {
    io::Json json = io::Json::parse(line), kept = io::Json::object();
    for (const auto& [name, value] : json.items())
      if (!name.starts_with("wall_")) kept[name] = value;
    all += kept.dump() + "\n";
  }
  return all;
}

struct Session {  // one process's part of a run
  explicit Session(const std::string& folder) : run(folder), checkpoints(run / "checkpoints", "run") {
    checkpoints.resume(small.state, [this](const std::string& line) { said += line + "\n"; });
    task = {.steps = 12, .phase_steps = 5, .batch = 4,
            .begin_phase = [this](Index phase, Index done) { phases += std::to_string(phase) + "+" + std::to_string(done) + " "; return true; },
            .gradients = [this](Index step) { return result(step); },
            .describe = [](Index step) { return "{\"samples\": [" + std::to_string(step) + "]}"; }};
    options = {.lr = warmup(cosine_lr(0.05, 12, 0.1), 4), .clip_norm = 0.5, .save_every = 3, .keep = 2, .signal = [this] { return small.state.step >= stop_at ? SIGTERM : 0; },
               .say = [this](const std::string& line) { said += line + "\n"; }};
  }
  StepResult result(Index step) {
    const Tensor x = normal(Rng{7} / "x" / step, {4, 3}) * (step == wild ? 1e4 : 1.0), y = small.layer(x);
    const Tensor loss = mean(square(step == broken ? log(y - 1e9) : y));
    return {backward(loss), double(loss.item<float>()), {{"mean_y", double(mean(y).item<float>())}}};
  }
  TrainReport go() { return train(task, small.state, run, checkpoints, options); }

  SmallRun small;
  RunFolder run;
  Checkpoints checkpoints;
  Task task;
  TrainOptions options;
  std::string phases, said;
  Index stop_at = 1000, wild = -1, broken = -1;
};

}  // namespace

TEST_CASE("trainer: stopped after any step and resumed, to the same bits and metrics") {
  const TempFolder folder(TempFolder::in_memory);
  Session whole(folder / "whole");
  CHECK(whole.go().signal == 0);
  CHECK(whole.phases == "1+0 2+0 3+0 ");
  CHECK(whole.small.state.step == 12);
  for (Index stop = 0; stop < 12; ++stop) {
    CAPTURE(stop);
    const std::string dir = folder / ("stopped-" + std::to_string(stop));
    for (const Index at : {stop, std::min<Index>(stop + 4, 11)}) {  // a resume of a resume
      Session part(dir);
      part.stop_at = at;
      const TrainReport report = part.go();
      CHECK(report.signal == SIGTERM);
      CHECK(part.checkpoints.steps().back() == at);  // no step is lost
    }
    Session rest(dir);
    CHECK(rest.small.state.step == std::min<Index>(stop + 4, 11));
    CHECK(rest.go().steps == 12);
    CHECK(rest.said.empty());
    CHECK(same(rest.small, whole.small));
    CHECK(metrics_of(dir) == metrics_of(folder / "whole"));
  }
}

TEST_CASE("trainer: a run resumed inside a phase begins that phase again, and says how far it was") {
  const TempFolder folder(TempFolder::in_memory);
  {
    Session first(folder / "r");
    first.stop_at = 7;
    first.go();
  }
  Session second(folder / "r");
  second.go();
  CHECK(second.phases == "2+2 3+0 ");
}

TEST_CASE("trainer: checkpoints at every save_every steps and at the end; the older ones pruned after") {
  const TempFolder folder(TempFolder::in_memory);
  Session run(folder / "r");
  run.task.steps = 10;
  run.go();
  CHECK(run.checkpoints.steps() == std::vector<Index>{9, 10});
  CHECK(content(folder / "r/metrics.jsonl").find("\"wall_ms\":") != std::string::npos);
}

TEST_CASE("trainer: a phase that is interrupted while it begins loses nothing") {
  const TempFolder folder(TempFolder::in_memory);
  Session run(folder / "r");
  bool came = false;
  run.task.begin_phase = [&](Index phase, Index) { return !(came = phase == 2); };
  run.options.signal = [&] { return came ? SIGINT : 0; };
  const TrainReport report = run.go();
  CHECK(report.signal == SIGINT);
  CHECK(run.checkpoints.steps().back() == 5);
}

TEST_CASE("trainer: an outlier changes nothing but the count; a resumed run skips the same") {
  const TempFolder folder(TempFolder::in_memory);
  const auto session = [&](const std::string& name) {
    auto s = std::make_unique<Session>(folder / name);
    s->wild = 9;
    s->options.skip_z = 100, s->options.skip_after = 4;
    return s;
  };
  auto whole = session("whole");
  const TrainReport report = whole->go();
  CHECK(report.skipped == 1);
  CHECK(whole->small.adamw.steps() == 11);
  CHECK(whole->said.find("step 10 skipped") != std::string::npos);
  CHECK(content(folder / "whole/metrics.jsonl").find("\"skipped\":1.0") != std::string::npos);
  {
    auto part = session("parts");
    part->stop_at = 8;
    part->go();
  }
  auto rest = session("parts");
  rest->go();
  CHECK(same(rest->small, whole->small));
  CHECK(metrics_of(folder / "parts") == metrics_of(folder / "whole"));
}

TEST_CASE("trainer: NaN stops the run with the op, the tensors and the batch; nothing is updated or saved") {
  const TempFolder folder(TempFolder::in_memory);
  Session run(folder / "r"), before(folder / "b");
  run.broken = 4;
  before.stop_at = 4;
  before.go();
  check_error([&] { run.go(); }, {"step 5: numbers are not finite", "loss NaN", "the first op is log", "'layer.", "from finite inputs", "nan-step-5/report.json"});
  CHECK(same(run.small, before.small));
  CHECK(run.checkpoints.steps() == std::vector<Index>{3});
  const io::Json report = io::Json::parse(content(folder / "r/nan-step-5/report.json"));
  CHECK(report["first_op"]["op"] == "log");
  CHECK(report["first_op"]["inputs_finite"] == true);
  CHECK(report["first_op"]["output"]["statistics"]["nan"] == 20);
  CHECK(report["first_op"]["nearest_parameter"].get<std::string>().starts_with("layer."));
  CHECK(report["batch"]["samples"][0] == 4);
}

TEST_CASE("finite watch: the first op, forward or backward; inputs that were bad are told apart") {
  const Tensor bad = full({3}, std::numeric_limits<double>::quiet_NaN());
  FiniteWatch watch;
  exp(zeros({3}));
  CHECK_FALSE(watch.first());
  exp(bad + 1.0);
  REQUIRE(watch.first());
  CHECK(watch.first()->op == "add");
  CHECK(watch.first()->inputs.at(0).statistics.nan == 3);
  CHECK(watch.first()->output.statistics.str() == "3 numbers, 3 NaN, 0 infinite, the others from 0 to 0, mean 0");
  {
    FiniteWatch inner;
    const Tensor x = track(zeros({2}), "x");
    backward(sum(sqrt(x)));  // d sqrt at 0
    REQUIRE(inner.first());
    CHECK(inner.first()->output.statistics.infinite == 2);
  }
}

TEST_CASE("trainer: what cannot be trained is refused") {
  const TempFolder folder(TempFolder::in_memory);
  Session run(folder / "r");
  run.task.steps = 0;
  check_error([&] { run.go(); }, {"train: nothing to train", "0 steps"});
  run.task.steps = 12, run.task.begin_phase = [](Index, Index) { return false; };
  check_error([&] { run.go(); }, {"the phase did not begin"});
}

TEST_CASE("watchdog: a run that stands still says where and exits with 70; one that goes on does not") {
  int pipe_ends[2];
  REQUIRE(pipe(pipe_ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(pipe_ends[1], STDERR_FILENO);
    Watchdog watchdog(0.4, "RUN");
    for (int i = 0; i < 4; ++i) usleep(200'000), watchdog.beat("a step");
    watchdog.beat("a hang");
    for (;;) pause();
  }
  close(pipe_ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = read(pipe_ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, std::size_t(n));
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 70);
  CHECK(text.find("error: RUN: no progress for") == 0);
  CHECK(text.find("in: a hang") != std::string::npos);
  CHECK(text.find("thread ") != std::string::npos);
}
