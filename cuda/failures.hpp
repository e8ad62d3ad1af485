// What the CUDA runtime answers, and the Error that becomes of it: one place for both worlds. A GPU gives the answers; cuda-sim those
// that tests inject (sim/sim.hpp).
//   check(Answer(status), {.what = "launch", .who = plan.kernel, .plan = &plan});
#pragma once
#include <cstddef>
#include <string>

#include "device.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

struct LaunchPlan;

// Numbers of cudaError_t (driver_types.h): those that are told apart. Any other number is an answer, too.
enum class Answer : int {
  success = 0,
  invalid_value = 1,
  out_of_memory = 2,
  invalid_configuration = 9,
  devices_unavailable = 46,
  no_kernel_image = 209,
  uncorrectable_memory = 214,
  uncorrectable_link = 220,
  contained = 226,
  illegal_address = 700,
  out_of_resources = 701,
  timeout = 702,
  context_destroyed = 709,
  assertion = 710,
  hardware_stack = 714,
  illegal_instruction = 715,
  misaligned_address = 716,
  invalid_address_space = 717,
  invalid_pc = 718,
  launch_failure = 719,
  tensor_memory_leak = 721,
  client_terminated = 810,
  capture_invalidated = 901,
  external_device = 911,
  unknown = 999,
};
std::string text_of(Answer);  // "cudaErrorIllegalAddress (700): an illegal memory access was encountered"
std::string code_held();      // what this library's kernels are compiled for: "8.0, 9.0 and later by PTX"

// What was asked of the runtime.
struct Asked {
  const char* what;                  // "launch"
  const char* who;                   // a kernel's name, or who wants memory
  const LaunchPlan* plan = nullptr;
  std::size_t bytes = 0;
  std::string op = {};               // with its shapes; empty: the one in progress
  bool promised = false;             // the host has gone on as if it were done: results are missing now
};

// Throws Error unless the answer is success. An answer after which no call on the device can succeed, or that leaves promised work undone,
// loses the device: from then on every call throws at once, without touching it.
void check(Answer, const Asked&);
void require_device(const char* who);  // throws Error if the device is lost
bool device_lost() noexcept;
void lose_device(const std::string& how) noexcept;
void forget_loss() noexcept;  // the simulator's device can be had anew

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
