// parallel_for: `tasks` independent pieces of work on `threads` threads.
//
// What a task is must depend on the problem's size alone, never on `threads`: then the bits do not
// depend on it either. Each task is done by one thread, in any order.
//   parallel_for(ctx, rows, [&](Index row, int worker) { ... });   worker in [0, ctx.threads)
//
// A worker begins with its own share, neighbouring tasks, and helps others when that is done. Kernels number
// their tasks along memory, so what one kernel leaves in a core's cache is mostly what the next reads there.
#pragma once
#include <atomic>

#include "cpu/context.hpp"
#include "sspo/base/config.hpp"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace sspo::cpu {

template <class F>
inline void parallel_for([[maybe_unused]] const Context& ctx, Index tasks, F&& body) {
#if defined(_OPENMP)
  constexpr int most = 256;
  if (ctx.threads > 1 && tasks > 1 && !omp_in_parallel()) {
    int team = ctx.threads < most ? ctx.threads : most;
    if (tasks < team) team = int(tasks);
    struct alignas(64) Share {
      Index next, end;
    } shares[most];
    for (int i = 0; i < team; ++i) shares[i] = {tasks * i / team, tasks * (i + 1) / team};
#pragma omp parallel num_threads(team)
    {
      const int worker = omp_get_thread_num();
      for (int i = 0; i < team; ++i) {
        Share& share = shares[(worker + i) % team];
        const std::atomic_ref next(share.next);
        for (Index t; (t = next.fetch_add(1, std::memory_order_relaxed)) < share.end;) body(t, worker);
      }
    }
    return;
  }
#endif
  for (Index t = 0; t < tasks; ++t) body(t, 0);
}

}  // namespace sspo::cpu
