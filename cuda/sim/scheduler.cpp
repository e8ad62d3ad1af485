// Runs grids: block after block, the threads of a block as fibers. A fiber runs until a barrier or an operation of its warp needs
// others; then the next ready lane of the warp runs, then the next warp. Which warp and lane is next is drawn from a seed.
#include "scheduler.hpp"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <span>

#include "checker.hpp"
#include "fiber.hpp"
#include "sim.hpp"
#include "sspo/base/error.hpp"

namespace sspo::cuda::inline sim {

Thread* self = nullptr;
Block here;
Fiber fibers[most_threads];
std::vector<Warp> warps;
LaunchPlan plan_now;

namespace {

std::mutex one_grid_at_a_time;
char* stacks = nullptr;
void* host_stack = nullptr;
const void* host_bottom = nullptr;
std::size_t host_bytes = 0;
void (*body_now)(void*) = nullptr;
void* closure_now = nullptr;
int alive = 0, at_barrier = 0, warp_now = 0;
bool given_up = false;
std::uint64_t random_state = 0;

std::uint64_t schedule_seed = [] {
  const char* text = std::getenv("SSPO_SIM_SEED");
  return text ? std::strtoull(text, nullptr, 10) : 0ull;
}();

std::uint32_t draw(std::uint32_t below) {  // splitmix64
  std::uint64_t z = (random_state += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return std::uint32_t(((z ^ (z >> 31)) >> 32) * below >> 32);
}

int nth_bit(unsigned bits, int n) {
  for (; n > 0; --n) bits &= bits - 1;
  return __builtin_ctz(bits);
}

// The next to run, or null where all wait. Seed 0: lanes and warps in their order.
Fiber* next_ready() {
  const int count = int(warps.size());
  const int first = schedule_seed ? int(draw(std::uint32_t(count))) : warp_now;
  for (int i = 0; i < count; ++i) {
    const int w = (first + i) % count;
    const unsigned ready = warps[std::size_t(w)].ready;
    if (!ready) continue;
    warp_now = w;
    return warps[std::size_t(w)].lanes[schedule_seed ? nth_bit(ready, int(draw(std::uint32_t(__builtin_popcount(ready))))) : __builtin_ctz(ready)];
  }
  return nullptr;
}

std::span<Fiber> of_block() { return {fibers, std::size_t(here.block.x) * here.block.y * here.block.z}; }

std::string thread_name(const Fiber& f) {
  return "(" + std::to_string(f.index.x) + "," + std::to_string(f.index.y) + "," + std::to_string(f.index.z) + ")";
}

// Nobody can run. At a barrier that all who live have reached, they go on; else the kernel hangs, and why is a finding.
void resolve() {
  if (alive > 0 && at_barrier == alive) {
    const void* where = nullptr;
    for (Fiber& f : of_block()) {
      if (f.state != State::at_barrier) continue;
      if (!where) where = f.where;
      // The compiler may have copied one __syncthreads to two places: then their lines are one.
      if (f.where == where || source_line(f.where) == source_line(where)) continue;
      report("divergent barrier", where, f.where, "threads of one block wait at two different __syncthreads");
      break;
    }
    at_barrier = 0;
    for (Fiber& f : of_block())
      if (f.state == State::at_barrier) f.state = State::ready, warp_of(f).ready |= 1u << f.lane;
    count_barrier();
    barrier_passed();
    return;
  }
  for (Fiber& f : of_block()) {
    if (f.state != State::in_warp) continue;
    report("warp operation never completes", f.where, nullptr, std::string(f.what) + " of thread " + thread_name(f) + " waits for lanes of its mask that are elsewhere");
    break;
  }
  given_up = true;  // the block is abandoned, its threads with it
}

void leave(Fiber* from, bool last) {
  for (;;) {
    Fiber* const to = next_ready();
    if (to == from && !last) return;
    void* unused;
    void** const save = last ? &unused : &from->stack_pointer;
    if (to) {
      self = to;
      switch_stack(save, to->stack_pointer, stacks + std::size_t(to->number) * stack_bytes, stack_bytes, last);
      return;
    }
    if (alive == 0 || given_up) {
      switch_stack(save, host_stack, host_bottom, host_bytes, last);
      return;
    }
    resolve();
  }
}

// All lanes of the group's mask that still run are here.
bool complete(const Warp& w, const WarpGroup& g) { return g.used && g.arrived == (g.mask & w.alive); }
void act_together(Warp& w, WarpGroup& g) {
  g.used = false;
  const unsigned lanes = g.arrived;
  if (lanes == w.alive) warp_met(w);
  if (g.act == meet) warp_synced(lanes, w);
  g.act(lanes, w.brought);
  for (unsigned rest = lanes; rest; rest &= rest - 1) w.lanes[__builtin_ctz(rest)]->state = State::ready;
  w.ready |= lanes;
}

void fiber_main() {
  arrived_on_stack();
  body_now(closure_now);
  Fiber& f = running();
  f.state = State::done;
  Warp& w = warp_of(f);
  w.alive &= ~(1u << f.lane), w.ready &= ~(1u << f.lane);
  --alive;
  if (!f.copies.empty()) report("copy not waited for", f.copies[0].where, nullptr, "thread " + thread_name(f) + " ends with cp.async in flight");
  if (w.ready != w.alive)  // some wait, perhaps for this one
    for (WarpGroup& g : w.groups)
      if (complete(w, g)) act_together(w, g);
  leave(&f, true);
  std::abort();
}

void run_block(Extent block) {
  const int threads = int(block.x * block.y * block.z);
  warps.assign(std::size_t(threads + 31) / 32, Warp{});
  alive = threads, at_barrier = 0, warp_now = 0, given_up = false;
  for (int i = 0; i < threads; ++i) {
    Fiber& f = fibers[std::size_t(i)];
    f.number = std::uint16_t(i), f.lane = unsigned(i) & 31, f.state = State::ready, f.copy_group = 0;
    f.copies.clear();
    f.index = {unsigned(i) % block.x, unsigned(i) / block.x % block.y, unsigned(i) / (block.x * block.y)};
    f.stack_pointer = prepare_stack(stacks + std::size_t(i) * stack_bytes, stack_bytes, fiber_main);
    Warp& w = warp_of(f);
    w.lanes[f.lane] = &f;
    const unsigned bit = 1u << f.lane;
    w.exist |= bit, w.alive |= bit, w.ready |= bit;
  }
  Fiber* const first = next_ready();
  self = first;
  switch_stack(&host_stack, first->stack_pointer, stacks + std::size_t(first->number) * stack_bytes, stack_bytes, false);
  self = nullptr;
}

}  // namespace

bool on_fiber_stacks(const void* p) { return stacks && std::size_t(static_cast<const char*>(p) - stacks) < stack_bytes * most_threads; }
int owner_of_stack(const void* p) { return int(std::size_t(static_cast<const char*>(p) - stacks) / stack_bytes); }

void set_schedule(std::uint64_t seed) { schedule_seed = seed; }

void barrier(const void* where) {
  Fiber& f = running();
  f.state = State::at_barrier, f.where = where;
  warp_of(f).ready &= ~(1u << f.lane);
  ++at_barrier;
  leave(&f, false);
}

void together(unsigned mask, Together act, void* mine, const char* name, const void* where) {
  Fiber& f = running();
  Warp& w = warp_of(f);
  const unsigned bit = 1u << f.lane;
  if (!(mask & bit)) report("mask without the caller", where, nullptr, std::string(name) + ": lane " + std::to_string(f.lane) + " is not in its own mask");
  mask |= bit;
  WarpGroup* group = nullptr;
  for (WarpGroup& g : w.groups)
    if (g.used && g.mask == mask && g.act == act) group = &g;
  if (!group) {
    for (WarpGroup& g : w.groups)
      if (!g.used) { group = &g; break; }
    *group = {true, mask, 0, act};
  }
  w.brought[f.lane] = mine;
  group->arrived |= bit;
  if (!complete(w, *group)) {
    f.state = State::in_warp, f.what = name, f.where = where, f.mask = mask;
    w.ready &= ~bit;
    leave(&f, false);
    return;
  }
  act_together(w, *group);
}

void run_grid(const LaunchPlan& plan, void (*body)(void*), void* closure) {
  const std::lock_guard guard(one_grid_at_a_time);
  if (!stacks) {
    stacks = static_cast<char*>(mmap(nullptr, stack_bytes * most_threads, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (stacks == MAP_FAILED) fail({.op = plan.kernel, .what = "no memory for the simulator's stacks", .expected = "64 MiB of address space", .got = "none"});
  }
  pthread_attr_t attributes;
  pthread_getattr_np(pthread_self(), &attributes);
  void* bottom;
  pthread_attr_getstack(&attributes, &bottom, &host_bytes);
  pthread_attr_destroy(&attributes);
  host_bottom = bottom;
  random_state = schedule_seed;
  plan_now = plan, body_now = body, closure_now = closure;
  here.grid = {plan.grid.x, plan.grid.y, plan.grid.z};
  here.block = {plan.block.x, plan.block.y, plan.block.z};
  here.dynamic_bytes = plan.shared_bytes;
  begin_launch();
  for (unsigned z = 0; z < plan.grid.z; ++z)
    for (unsigned y = 0; y < plan.grid.y; ++y)
      for (unsigned x = 0; x < plan.grid.x; ++x) {
        here.index = {x, y, z};
        begin_block();
        run_block(plan.block);
        end_block();
      }
  end_launch();
}

}  // namespace sspo::cuda::inline sim
