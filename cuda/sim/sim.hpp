// What tests and tools ask of the simulator: schedules, findings of the checking build, counters, failures.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "../failures.hpp"
#include "../runtime.hpp"

namespace sspo::cuda::inline sim {

// 0: threads run in their order. Else the order is drawn from the seed (SSPO_SIM_SEED at start).
void set_schedule(std::uint64_t seed);

bool checking();  // kernels and simulator were built to be checked

struct Finding {
  std::string kind;     // "race", "out of bounds", ...
  std::string kernel;
  std::string where;    // file:line of the access
  std::string earlier;  // and of the other access, where there is one
  std::string detail;   // block, threads, address
  std::string text() const { return kind + " in " + kernel + " at " + where + (earlier.empty() ? "" : ", against " + earlier) + ": " + detail; }
};
const std::vector<Finding>& findings();  // since the last reset, each kind and place once
void reset_findings();

// Traffic of one source line of a kernel. Counts, not times.
struct LineCounters {
  std::string where;
  bool shared, write, atomic;
  std::uint64_t requests;  // a warp's accesses, each together
  std::uint64_t units;     // 32-byte sectors; shared memory: wavefronts
  std::uint64_t fewest;    // that the same bytes could take
};
struct KernelCounters {
  std::string kernel;
  std::uint64_t launches = 0, blocks = 0, barriers = 0, mma = 0, mma_flops = 0;
  std::uint64_t sectors_read = 0, sectors_written = 0, sectors_fewest = 0;  // requested by warps
  std::uint64_t wavefronts = 0, wavefronts_fewest = 0;
  std::uint64_t unique_read = 0, unique_written = 0;  // distinct sectors: what memory must move at least
  std::vector<LineCounters> lines;
};
std::vector<KernelCounters> counters();  // since the last reset, by kernel; traffic in the checking build alone
void reset_counters();
std::string counters_table();

// Failures: of the calls of one kind from now on, the one after `after` others gets this answer; once.
enum class Call { allocate, launch, copy, wait, graph };
inline constexpr int call_kinds = 5;
void fail_next(Call call, Answer answer, int after = 0);
std::uint64_t calls(Call call);              // that reached the device so far
void ask(Call call, const Asked& asked);     // counts the call; throws what is its turn
void set_limits(const DeviceLimits& limits);
void restore_device();                       // no failure to come, none remembered, limits as at the start
void set_lazy(bool on);                      // work waits in its stream until the host waits for it: the latest that a GPU would do it

}  // namespace sspo::cuda::inline sim
