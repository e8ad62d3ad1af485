// Every kind of optimizer, its states and the f32 masters in memory or in a scratch file: the same bits, checkpoints that resume to
// them, errors of the disk.
#include <filesystem>
#include <memory>

#include "io/calls.hpp"
#include "io/folder.hpp"
#include "sspo/nn/layers.hpp"
#include "sspo/ops/all.hpp"
#include "sspo/train/checkpoint.hpp"
#include "sspo/train/scratch_file.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;
namespace fs = std::filesystem;

namespace {

const char* const kinds[] = {"adamw", "adamw8bit", "adafactor"};

std::unique_ptr<Optimizer> make(const std::string& kind, const Params& params, const Keep& keep) {
  if (kind == "adafactor") return std::make_unique<Adafactor>(params, Adafactor::Options{.lr = 0.01, .weight_decay = 0.01, .scale_parameter = true}, keep);
  if (kind == "adamw8bit") return std::make_unique<AdamW8bit>(params, AdamW::Options{.lr = 0.01}, keep);
  return std::make_unique<AdamW>(params, AdamW::Options{.lr = 0.01}, keep);
}

// Two layers and a convolution that compute in bf16; the first is large enough for moments of 8 bits.
struct Run {
  enum Where { memory, disk };
  Run(const std::string& kind, Where where, const std::string& folder, std::uint64_t seed = 1, int threads = 2)
      : params(Device::cpu({.threads = threads}), Rng{seed}), wide(params / "wide", 64, 100), narrow(params / "narrow", 100, 3), conv(params / "conv", 3, 64, {.kernel = 3, .padding = same(3)}) {
    Keep keep;
    if (where == disk) params.keep_masters(DType::bf16, keep = ScratchFile(folder).keep());
    else params.compute_in(DType::bf16);
    optimizer = make(kind, params, keep);
    average.emplace(params, 0.9);
    state.emplace(TrainingState{.params = params, .optimizer = *optimizer, .ema = &*average});
  }
  Gradients gradients(Index step) const {  // in two micro-batches, the second recomputed
    Gradients g;
    for (int part = 0; part < 2; ++part) {
      const Tensor x = cast(normal(Rng{7} / "x" / step / part, {2, 5, 5, 3}, params.device()), DType::bf16);
      const auto f = [this](const Tensors& in) { return narrow(silu(wide(silu(conv(in[0]))))); };
      backward(mean(square(cast(part ? recompute(f, {x}) : f({x}), DType::f32))), g);
    }
    return g;
  }
  void train(Index steps) {
    for (Index i = 0; i < steps; ++i) {
      optimizer->step(clip_norm(gradients(state->step), 0.5));
      average->update(params);
      ++state->step;
    }
  }
  Params params;
  nn::Linear wide, narrow;
  nn::Conv2d conv;
  std::unique_ptr<Optimizer> optimizer;
  std::optional<Ema> average;
  std::optional<TrainingState> state;
};

void check_same(Run& a, Run& b) {
  CHECK(a.optimizer->steps() == b.optimizer->steps());
  for (const Param& p : a.params) CHECK(same_bits(p.master(), b.params[p.name()].master()));
  for (const Param& p : a.average->params()) CHECK(same_bits(p.value(), b.average->params()[p.name()].value()));
  for (std::size_t i = 0; i < a.optimizer->slots().size(); ++i)
    for (std::size_t k = 0; k < a.optimizer->slots()[i].states.size(); ++k)
      CHECK(same_bits(a.optimizer->slots()[i].states[k].kept.load(), b.optimizer->slots()[i].states[k].kept.load()));
}

}  // namespace

TEST_CASE("masters on disk: the bits of masters in memory, of every optimizer, for any number of threads; nothing is left in the folder") {
  for (const std::string kind : kinds) {
    CAPTURE(kind);
    const TempFolder folder(TempFolder::in_memory);
    Run memory(kind, Run::memory, folder / "."), disk(kind, Run::disk, folder / "."), three(kind, Run::disk, folder / ".", 1, 3);
    CHECK(fs::is_empty(folder / "."));
    const Param p = disk.params["wide.weight"];
    CHECK(p.value().dtype() == DType::bf16);
    CHECK(p.master().dtype() == DType::f32);
    for (const Param& q : disk.params) CHECK(q.gradient(disk.gradients(0))->dtype() == DType::f32);
    for (Run* r : {&memory, &disk, &three}) r->train(4);
    check_same(memory, disk);
    check_same(memory, three);
    CHECK(same_bits(p.value(), cast(p.master(), DType::bf16)));
  }
}

TEST_CASE("masters on disk: memory between steps is 2 bytes a parameter, and a step adds one parameter's numbers") {
  const TempFolder folder(TempFolder::in_memory);
  const Device device = Device::cpu();
  Params params(device);
  for (int i = 0; i < 8; ++i) params.add(std::to_string(i), normal(Rng{1} / i, {1 << 16}, device));
  const ScratchFile scratch(folder / ".");
  const Keep keep = scratch.keep();
  params.keep_masters(DType::bf16, keep);
  AdamW adamw(params, {}, keep);
  CHECK(device.memory().in_use == 8 * (2 << 16));
  CHECK(scratch.bytes() == 8 * (12 << 16));
  Gradients g;
  for (const Param& p : params) g.add(Tensor(p).node()->inputs.at(0).node, ones({1 << 16}, DType::f32, device));  // the leaf below its copy
  const std::size_t before = device.memory().in_use;
  const float old = params["3"].master().item<float>(7);
  device.reset_peak_memory();
  adamw.step(g);
  CHECK(params["3"].master().item<float>(7) < old);
  CHECK(device.memory().in_use == before);
  CHECK(device.memory().peak - before <= 13 << 16);
}

TEST_CASE("checkpoints of every optimizer, masters in memory or on disk: resumed to the bits of the uninterrupted run") {
  for (const std::string kind : kinds)
    for (const Run::Where where : {Run::memory, Run::disk}) {
      CAPTURE(kind);
      CAPTURE(int(where));
      const TempFolder folder(TempFolder::in_memory);
      Run whole(kind, where, folder / ".");
      whole.train(3);
      Checkpoints checkpoints(folder / "c", "run");
      checkpoints.save(*whole.state);
      const auto silent = [](const std::string& line) { FAIL(line); };
      for (const Run::Where there : {Run::memory, Run::disk}) {  // a checkpoint does not tell where its numbers lay
        Run resumed(kind, there, folder / ".", 99);
        REQUIRE(checkpoints.resume(*resumed.state, silent));
        check_same(whole, resumed);
        Run rest(kind, there, folder / ".", 99);
        REQUIRE(checkpoints.resume(*rest.state, silent));
        resumed.train(3), rest.train(1), rest.train(2);
        check_same(resumed, rest);
        if (there == Run::disk) whole.train(3), check_same(whole, resumed);
      }
      for (const std::string other : kinds) {
        if (other == kind) continue;
        Run wrong(other, where, folder / ".", 99);
        std::string said;
        check_error([&] { checkpoints.resume(*wrong.state, [&](const std::string& line) { said += line; }); }, {"no valid checkpoint", "the states of another optimizer", kind.c_str(), other.c_str()});
      }
    }
}

TEST_CASE("scratch file: an error of the disk is an error of the step, with the path and the reason; a short write is gone on with" * doctest::skip(!io::faults_built_in())) {
  const TempFolder folder(TempFolder::in_memory);
  check_error([&] { ScratchFile(folder / "none"); }, {"none/scratch: cannot be made: No such file"});
  Run run("adamw8bit", Run::disk, folder / "."), memory("adamw8bit", Run::memory, folder / ".");
  const Gradients g = run.gradients(0);
  for (const auto& [fault, reason] : {std::pair{"write:2:enospc", "scratch: cannot be written: No space left"}, {"read:2:eio", "scratch: cannot be read: Input/output error"}}) {
    Run broken("adamw8bit", Run::disk, folder / ".");
    io::set_fault(fault);
    check_error([&] { broken.optimizer->step(broken.gradients(0)); }, {reason});
    io::set_fault("");
    CHECK(broken.optimizer->steps() == 0);
  }
  io::set_fault("write:1:enospc");
  check_error([&] { Run("adamw", Run::disk, folder / "."); }, {"no room for masters and the optimizer's states: No space left"});
  io::set_fault("write:3:short");
  run.train(1);
  io::set_fault("");
  memory.train(1);
  check_same(run, memory);
}

TEST_CASE("adamw8bit: a small network is learned as well as with f32 moments") {
  const auto loss_after = [](const std::string& kind) {
    Params params(Device::cpu(), Rng{3});
    nn::Linear a(params / "a", 32, 256), b(params / "b", 256, 256), c(params / "c", 256, 1);
    const std::unique_ptr<Optimizer> optimizer = kind == "adamw" ? std::unique_ptr<Optimizer>(std::make_unique<AdamW>(params, AdamW::Options{.lr = 2e-3}))
                                                                 : std::make_unique<AdamW8bit>(params, AdamW::Options{.lr = 2e-3});
    double sum_of_last = 0;
    for (int step = 0; step < 300; ++step) {
      const Tensor x = normal(Rng{4} / step, {64, 32}), y = tanh(sum(x * 0.25, {1}, true));
      const Tensor loss = mse(c(silu(b(silu(a(x))))), y);
      optimizer->step(clip_norm(backward(loss), 1.0));
      if (step >= 250) sum_of_last += loss.item<float>();
    }
    return sum_of_last / 50;
  };
  const double full = loss_after("adamw"), eight = loss_after("adamw8bit");
  MESSAGE("mean squared error after 300 steps: f32 moments " << full << ", 8 bits " << eight);
  CHECK(full < 0.1);  // of a variance of 0.5
  CHECK(eight < 1.1 * full);
}
