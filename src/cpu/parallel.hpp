// parallel_for: `tasks` independent pieces of work on `threads` threads.
//
// What a task is must depend on the problem's size alone, never on `threads`: then the bits do not
// depend on it either. Each task is done by one thread, in any order.
//   parallel_for(ctx, rows, [&](Index row, int worker) { ... });   worker in [0, ctx.threads)
#pragma once
#include "cpu/context.hpp"
#include "sspo/base/config.hpp"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace sspo::cpu {

template <class F>
inline void parallel_for([[maybe_unused]] const Context& ctx, Index tasks, F&& body) {
#if defined(_OPENMP)
  if (ctx.threads > 1 && tasks > 1 && !omp_in_parallel()) {
    const int team = tasks < ctx.threads ? int(tasks) : ctx.threads;
#pragma omp parallel for schedule(dynamic, 1) num_threads(team)
    for (Index t = 0; t < tasks; ++t) body(t, omp_get_thread_num());
    return;
  }
#endif
  for (Index t = 0; t < tasks; ++t) body(t, 0);
}

}  // namespace sspo::cpu
