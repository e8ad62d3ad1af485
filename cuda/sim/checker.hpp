// What the simulator's memory tells the checker. In the fast build these calls do nothing.
#pragma once
#include <cstddef>

#include "scheduler.hpp"

namespace sspo::cuda::inline sim {

#if defined(SSPO_SIM_CHECK)
inline constexpr std::size_t device_range_bytes = std::size_t(4) << 30;
#else
inline constexpr std::size_t device_range_bytes = std::size_t(64) << 30;
#endif

void note_block(const void* p, std::size_t bytes, const char* what);
void note_block_gone(const void* p);
void note_device_range(const void* base, std::size_t bytes);
void note_written_by_host(const void* p, std::size_t bytes);
void note_copied(void* to, const void* from, std::size_t bytes);

// The block's shared memory (shared.cpp).
inline constexpr std::size_t shared_capacity = 256 * 1024;
extern unsigned char* const shared_memory;
bool shared_holds(const void* p, std::size_t bytes);  // within one array of the block that runs
void reset_shared();

// Traffic (traffic.cpp).
struct Access {
  const void* where;
  std::uintptr_t address;
  std::uint16_t bytes;
  bool shared, write, atomic;
};
void log_access(const Access&);
void traffic_begin_launch();
void traffic_flush(Warp&);
void traffic_end_launch();

std::string source_line(const void* code);  // file:line of the kernel, past the simulator's own inline functions

}  // namespace sspo::cuda::inline sim
