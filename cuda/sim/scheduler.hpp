// How the threads of a block take turns. Shared by the simulator's own files; kernels never see it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "../runtime.hpp"

namespace sspo::cuda::inline sim {

enum class State : std::uint8_t { ready, at_barrier, in_warp, done };

struct PendingCopy {  // cp.async, not waited for
  void* to;
  const void* from;
  bool valid;
  int group;
  const void* where;
  std::uint32_t left;  // when, as the checker counts
};

struct Fiber : Thread {
  void* stack_pointer;
  State state;
  std::uint16_t number;  // in the block
  const void* where;     // what it waits at
  const char* what;
  unsigned mask;
  int copy_group;
  std::vector<PendingCopy> copies;
};

struct WarpGroup {  // lanes that gather for one operation
  bool used;
  unsigned mask, arrived;
  Together act;
};

struct Warp {
  Fiber* lanes[32];
  void* brought[32];
  unsigned exist, alive, ready;  // lanes, as bits
  WarpGroup groups[32];
};

inline constexpr std::size_t stack_bytes = 64 * 1024;
inline constexpr int most_threads = 1024;

extern Fiber fibers[most_threads];  // static: kernels read their indices there, which is no access to memory of the host
extern std::vector<Warp> warps;
extern LaunchPlan plan_now;
inline Warp& warp_of(const Fiber& f) { return warps[std::size_t(f.number) / 32]; }
inline Fiber& running() { return *static_cast<Fiber*>(self); }

bool on_fiber_stacks(const void* p);
int owner_of_stack(const void* p);

// What the checker (memory.cpp) is told.
void begin_launch();
void begin_block();
void barrier_passed();
void warp_met(Warp&);          // all lanes of a warp are in step: their accesses so far can be compared
void warp_synced(unsigned lanes, const Warp&);  // by __syncwarp
void end_block();
void end_launch();
void copy_leaves(PendingCopy&);
void copy_arrives(const PendingCopy&);

void report(const char* kind, const void* where, const void* earlier, const std::string& detail);
void count_mma(int kind);
void count_barrier();

}  // namespace sspo::cuda::inline sim
