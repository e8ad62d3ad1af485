#include "failures.hpp"

#include <algorithm>
#include <iterator>
#include <mutex>

#include "runtime.hpp"
#include "sspo/base/error.hpp"
#include "sspo/grad/call.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {
namespace {

using sspo::detail::OpInProgress;

// The process must be started anew ("... the process must be terminated and relaunched", driver_types.h), or the card is broken or gone.
constexpr Answer losses[] = {Answer::devices_unavailable, Answer::uncorrectable_memory, Answer::uncorrectable_link, Answer::contained,
                             Answer::illegal_address, Answer::timeout, Answer::context_destroyed, Answer::assertion, Answer::hardware_stack,
                             Answer::illegal_instruction, Answer::misaligned_address, Answer::invalid_address_space, Answer::invalid_pc,
                             Answer::launch_failure, Answer::tensor_memory_leak, Answer::client_terminated, Answer::external_device, Answer::unknown};

struct Loss {
  std::mutex mutex;
  bool lost = false;
  std::string how;
};
Loss& loss() {
  static Loss& l = *new Loss;  // devices may be the last to go
  return l;
}

constexpr const char* after_loss = "start the process anew; training goes on from its last checkpoint (--resume auto)";
constexpr const char* less_memory = "a smaller batch, recompute() around large blocks (train.recompute), or --max-memory, which says before the first step what does not fit";

std::string op_or(const char* who) { return OpInProgress::current() ? std::string(OpInProgress::current()->name()) : who; }
Site site() { return OpInProgress::current() ? OpInProgress::current()->at() : Site{}; }
std::string extent(const Extent& e) { return std::to_string(e.x) + " x " + std::to_string(e.y) + " x " + std::to_string(e.z); }

std::string circumstances(const Asked& asked) {
  std::string text = std::string(asked.what) + (asked.plan ? " of kernel " : " for ") + asked.who;
  if (asked.plan) text += ", grid " + extent(asked.plan->grid) + ", block " + extent(asked.plan->block) + ", " + std::to_string(asked.plan->shared_bytes) + " bytes of shared memory";
  if (asked.bytes) text += ", " + std::to_string(asked.bytes) + " bytes";
  const std::string op = !asked.op.empty() ? asked.op : OpInProgress::current() ? OpInProgress::current()->text() : "";
  return op.empty() ? text : text + ", in " + op;
}

std::string capability(int c) { return std::to_string(c / 10) + "." + std::to_string(c % 10); }

}  // namespace

bool device_lost() noexcept {
  const std::lock_guard guard(loss().mutex);
  return loss().lost;
}
void lose_device(const std::string& how) noexcept {
  const std::lock_guard guard(loss().mutex);
  if (!loss().lost) loss().how = how;  // the first is the cause
  loss().lost = true;
}
void forget_loss() noexcept {
  const std::lock_guard guard(loss().mutex);
  loss().lost = false;
}

void require_device(const char* who) {
  if (!device_lost()) return;
  fail({.op = op_or(who), .what = "the device was lost earlier", .expected = "a device that works", .got = loss().how, .hint = after_loss, .kind = ErrorKind::internal}, site());
}

void check(Answer answer, const Asked& asked) {
  if (answer == Answer::success) return;
  const std::string got = text_of(answer) + "; " + circumstances(asked), op = op_or(asked.who);
  if (std::find(std::begin(losses), std::end(losses), answer) != std::end(losses)) {
    lose_device(got);
    fail({.op = op, .what = "the device is lost", .expected = "cudaSuccess from this call and from work queued before it", .got = got,
          .hint = std::string(after_loss) + "; CUDA_LAUNCH_BLOCKING=1 or compute-sanitizer finds a kernel at fault", .kind = ErrorKind::internal}, site());
  }
  if (asked.promised) {
    lose_device(got);
    fail({.op = op, .what = "queued work failed, what was queued with it is not done: the device is lost", .expected = "cudaSuccess", .got = got,
          .hint = std::string(after_loss) + "; without --cuda-graphs such a failure stops its own op alone", .kind = ErrorKind::internal}, site());
  }
  if (answer == Answer::no_kernel_image)
    fail({.op = op, .what = "this library holds no kernels for this card", .expected = "compute capability " + code_held(),
          .got = limits().name + " of compute capability " + capability(limits().capability) + "; " + got,
          .hint = "build with -DSSPO_CUDA=ON -DSSPO_CUDA_ARCHITECTURES=" + std::to_string(limits().capability) + " (the kernels need 80 or more), or --device cpu",
          .kind = ErrorKind::internal}, site());
  if (answer == Answer::out_of_memory)
    fail({.op = op, .what = "no memory left", .expected = std::to_string(asked.bytes) + " bytes more", .got = got, .hint = less_memory, .kind = ErrorKind::memory}, site());
  fail({.op = op, .what = std::string(asked.what) + " failed", .expected = "cudaSuccess", .got = got,
        .hint = "the op's reference, the same maths in plain ops, needs no such kernel; --device cpu needs no GPU", .kind = ErrorKind::internal}, site());
}

void check_plan(const LaunchPlan& plan) {
  const DeviceLimits& most = limits();
  const auto refuse = [&](const char* what, std::size_t got, std::size_t limit) {
    fail({.op = op_or(plan.kernel), .what = std::string(what) + " beyond the device's", .expected = "1 to " + std::to_string(limit) + " on " + most.name,
          .got = std::to_string(got) + "; " + circumstances({.what = "launch", .who = plan.kernel, .plan = &plan}),
          .hint = "the op's reference, the same maths in plain ops, needs no such kernel"}, site());
  };
  const std::size_t threads = std::size_t(plan.block.x) * plan.block.y * plan.block.z;
  if (threads < 1 || threads > most.threads_per_block) refuse("threads of a block", threads, most.threads_per_block);
  if (plan.block.z > 64) refuse("threads of a block along z", plan.block.z, 64);
  if (plan.grid.x < 1 || plan.grid.x > most.grid_x) refuse("blocks along x", plan.grid.x, most.grid_x);
  if (plan.grid.y < 1 || plan.grid.y > most.grid_yz) refuse("blocks along y", plan.grid.y, most.grid_yz);
  if (plan.grid.z < 1 || plan.grid.z > most.grid_yz) refuse("blocks along z", plan.grid.z, most.grid_yz);
  if (plan.shared_bytes > most.shared_per_block) refuse("bytes of shared memory", plan.shared_bytes, most.shared_per_block);
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
