// Switching between stacks, told to AddressSanitizer where it is on.
#pragma once
#include <cstddef>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SSPO_SIM_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define SSPO_SIM_ASAN 1
#endif

namespace sspo::cuda::inline sim {

// The stack pointer of a stack that will call entry() when first switched to.
void* prepare_stack(void* bottom, std::size_t bytes, void (*entry)());
// Leaves this stack, saved in *from, for the one saved in `to`. [bottom, bytes): that stack. `last`: this one is not returned to.
void switch_stack(void** from, void* to, const void* bottom, std::size_t bytes, bool last);
void arrived_on_stack();  // first thing a new stack does

}  // namespace sspo::cuda::inline sim
