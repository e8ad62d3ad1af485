#include "fiber.hpp"

#include <cstdint>

#if defined(SSPO_SIM_ASAN)
#include <sanitizer/asan_interface.h>
#endif

#if !defined(__x86_64__)
#error "cuda-sim switches stacks with x86-64 code: write switch_stack for this processor"
#endif

// System V ABI: rbx, rbp, r12 to r15 are the callee's to keep; so are the control bits of mxcsr and the x87 word, which nobody changes.
asm(R"(
.text
.globl sspo_sim_switch
.type sspo_sim_switch,@function
sspo_sim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size sspo_sim_switch,.-sspo_sim_switch
)");
extern "C" void sspo_sim_switch(void** from, void* to);

namespace sspo::cuda::inline sim {

void* prepare_stack(void* bottom, std::size_t bytes, void (*entry)()) {
#if defined(SSPO_SIM_ASAN)
  __asan_unpoison_memory_region(bottom, bytes);  // what the last thread on it left
#endif
  auto* top = reinterpret_cast<std::uintptr_t*>(static_cast<char*>(bottom) + bytes);
  *--top = 0;  // entry() begins as if called: the stack is 8 bytes off a multiple of 16
  *--top = reinterpret_cast<std::uintptr_t>(entry);
  for (int saved = 0; saved < 6; ++saved) *--top = 0;
  return top;
}

void switch_stack(void** from, void* to, [[maybe_unused]] const void* bottom, [[maybe_unused]] std::size_t bytes, [[maybe_unused]] bool last) {
#if defined(SSPO_SIM_ASAN)
  void* shadow = nullptr;
  __sanitizer_start_switch_fiber(last ? nullptr : &shadow, bottom, bytes);
  sspo_sim_switch(from, to);
  __sanitizer_finish_switch_fiber(shadow, nullptr, nullptr);
#else
  sspo_sim_switch(from, to);
#endif
}

void arrived_on_stack() {
#if defined(SSPO_SIM_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

}  // namespace sspo::cuda::inline sim
