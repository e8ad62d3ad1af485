// The checker's shadow of device and shared memory: for each two bytes, or each single one where a kernel looked at single ones, who
// wrote and who read last, and when.
//
// Time is a counter that grows at each launch, block, barrier and fence. Two accesses of one place, one of them a write, not both
// atomic, race unless the earlier is ordered before the later: it is of an earlier launch, or
//   of this block, and a __syncthreads lies between, or a __syncwarp of both lanes (or a chain of them), or
//   its thread then called __threadfence and made an atomic access, and the later one's thread has since made one of the same place.
#include "checker.hpp"

#include <cstring>

#include "sim.hpp"

#if defined(SSPO_SIM_CHECK)
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <unordered_map>

extern "C" char __executable_start, _end;
#endif

namespace sspo::cuda::inline sim {

#if !defined(SSPO_SIM_CHECK)

bool checking() { return false; }
void touch(const void*, unsigned, int, const void*) {}
void note_device_range(const void*, std::size_t) {}
void note_written_by_host(const void*, std::size_t) {}
void note_copied(void*, const void*, std::size_t) {}
void note_block(const void*, std::size_t, const char*) {}
void note_block_gone(const void*) {}
void fence() {}
void begin_launch() { traffic_begin_launch(); }
void begin_block() { reset_shared(); }
void barrier_passed() {}
void warp_met(Warp&) {}
void warp_synced(unsigned, const Warp&) {}
void end_block() {}
void end_launch() { traffic_end_launch(); }
void copy_leaves(PendingCopy&) {}
void copy_arrives(const PendingCopy&) {}

#else

namespace {

enum Flag : std::uint8_t {
  holds_numbers = 1,
  valid = 2,
  freed = 4,
  is_split = 8,  // the cell is of the first byte alone; the second has its own
  in_flight = 16,
  atomic_write = 32,
  atomics_before = 64,  // and atomic writes by earlier blocks of the launch
  reads_before = 128,   // and reads by earlier blocks of the launch
};
constexpr std::uint16_t several = 0xffff;  // threads
constexpr std::uint8_t several_warps = 0xff;

struct Cell {
  std::uint32_t write_time, read_time, write_clock, read_clock;
  std::uint32_t readers;  // lanes, as bits. Where they read at different clocks, read_clock is the latest
  std::uint16_t writer;
  std::uint8_t reader_warp, flags;
  const void* write_place;
  const void* read_place;
};
static_assert(sizeof(Cell) == 40);

Cell cell_with(int flags) {
  Cell c{};
  c.flags = std::uint8_t(flags);
  return c;
}

std::uint32_t now = 1, launch_began = 0, block_began = 0, barrier_passed_at = 0;

// The cells of a range of memory: first[i] of bytes 2 i and 2 i + 1, or, once split, of 2 i; then first[i + to_second] is of 2 i + 1.
struct Shadow {
  const char* base;
  Cell* first;
  std::size_t to_second;

  Cell& pair(const void* p) const { return first[std::size_t(static_cast<const char*>(p) - base) / 2]; }
  Cell& second(Cell& c) const { return (&c)[to_second]; }
  Cell& byte(const void* p) const {
    Cell& c = pair(p);
    if (!(c.flags & is_split)) c.flags |= is_split, second(c) = c;
    return odd(p) ? second(c) : c;
  }
  // f(cell) for every cell of the bytes: at least 2, from an even address.
  template <class F> void each(const void* p, std::size_t bytes, F f) const {
    Cell* const c = &pair(p);
    for (std::size_t i = 0; i < (bytes + 1) / 2; ++i) {
      f(c[i]);
      if (c[i].flags & is_split) f(second(c[i]));
    }
  }
  static bool odd(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 2; }
};
Cell shared_cells[shared_capacity];
const Shadow of_shared{reinterpret_cast<const char*>(shared_memory), shared_cells, shared_capacity / 2};
Shadow of_device{};

bool in_device(const void* p) { return of_device.base && std::size_t(static_cast<const char*>(p) - of_device.base) < device_range_bytes; }
bool in_shared(const void* p) { return std::size_t(static_cast<const unsigned char*>(p) - shared_memory) < shared_capacity; }

std::string at_address(const void* p, unsigned bytes) {
  char text[64];
  std::snprintf(text, sizeof text, "%u bytes at %p", bytes, p);
  return text;
}

// Lanes of a warp: each draws a new clock at every __syncwarp. synced[t][l]: what lane l did at clocks below this is ordered before what
// thread t does now. Its own clock stands at its own lane. Clocks only grow, so none is reset between blocks.
std::uint32_t synced[most_threads][32], last_clock = 0;
std::uint32_t clock_of(const Fiber& f) { return synced[f.number][f.lane]; }

struct Past {  // accesses that were made: by these lanes of a warp (several warps: no number of a warp)
  std::uint32_t time;
  unsigned warp, lanes;
  std::uint32_t clock;
};
Past by_thread(std::uint32_t time, std::uint16_t who, std::uint32_t clock) { return {time, who / 32u, 1u << who % 32, clock}; }
Past write_of(const Cell& c) { return by_thread(c.write_time, c.writer, c.write_clock); }
Past reads_of(const Cell& c) { return {c.read_time, c.reader_warp, c.readers, c.read_clock}; }

// Lanes that are the thread's own, or were in step with it since.
bool in_step(const Past& past, unsigned thread, const std::uint32_t (&seen)[32]) {
  if (past.warp != thread / 32) return false;
  for (unsigned rest = past.lanes & ~(1u << thread % 32); rest; rest &= rest - 1)
    if (seen[__builtin_ctz(rest)] <= past.clock) return false;
  return true;
}
bool in_order_within_block(const Past& past, const Fiber& f) {
  return past.time >= block_began && (past.time < barrier_passed_at || in_step(past, f.number, synced[f.number]));
}

// Order by atomics in device memory. A fence keeps what its thread had done or was in step with; an atomic access publishes the last
// fence of its thread at its place, and acquires what was published there before. One step only: what others had acquired is not passed on.
struct Fence {
  std::uint32_t block, barrier, time;  // when its block began, when its last barrier was
  unsigned thread;
  std::uint32_t seen[32];
  bool keeps(const Past& past) const { return past.time >= block && past.time <= time && (past.time < barrier || in_step(past, thread, seen)); }
};
struct Acquired {
  const void* place;
  Past access;
  std::size_t fences;  // the first so many of those published there
};
Fence last_fence[most_threads];
std::unordered_map<const void*, std::vector<Fence>> published;  // in this launch
std::vector<Acquired> acquired;                                 // in this block
std::size_t blocks_before = 0;                                  // of this launch

void order_by_atomic(const void* p, const Fiber& f) {
  const Fence& fence = last_fence[f.number];
  const bool publishes = fence.block == block_began;
  const auto found = published.find(p);
  if (found == published.end() && !publishes) return;
  std::vector<Fence>& fences = found == published.end() ? published[p] : found->second;
  if (!fences.empty()) acquired.push_back({p, by_thread(now, f.number, clock_of(f)), fences.size()}), ++now;
  if (publishes && (fences.empty() || fences.back().time != fence.time)) fences.push_back(fence);
}

bool in_order_by_atomics(const Past& past, bool atomic, const Fiber& f, const void* p) {
  for (const Acquired& a : acquired) {
    if (!in_order_within_block(a.access, f)) continue;
    if (atomic && a.place == p && past.time <= a.access.time) return true;  // that atomic came after the ones of the past
    const std::vector<Fence>& fences = published.find(a.place)->second;     // block after block
    auto later = std::upper_bound(fences.begin(), fences.begin() + std::ptrdiff_t(a.fences), past.time, [](std::uint32_t time, const Fence& x) { return time < x.block; });
    for (std::uint32_t block = 0; later != fences.begin() && (!block || (later - 1)->block == block); --later) {
      block = (later - 1)->block;
      if ((later - 1)->keeps(past)) return true;
    }
  }
  return false;
}
bool acquired_from_all_blocks_before(const Fiber& f) {
  for (const Acquired& a : acquired) {
    if (!in_order_within_block(a.access, f)) continue;
    const std::vector<Fence>& fences = published.find(a.place)->second;
    std::size_t blocks = 0;
    for (std::size_t i = 0; i < a.fences; ++i) blocks += fences[i].block != block_began && (i == 0 || fences[i].block != fences[i - 1].block);
    if (blocks == blocks_before) return true;
  }
  return false;
}
bool in_order(const Past& past, bool atomic, const Fiber& f, const void* p) {
  return in_order_within_block(past, f) || (!acquired.empty() && in_order_by_atomics(past, atomic, f, p));
}

void look(Cell& c, int kind, bool shared, const void* where, const Fiber& f, const void* p, unsigned size) {
  const bool write = kind & 1 || kind & 8, atomic = kind & 2;
  const std::uint32_t since = shared ? block_began : launch_began;  // shared memory begins anew with each block
  const bool fresh = shared && c.write_time < since;
  const bool known = !fresh && c.flags & holds_numbers;
  const bool written = c.write_time >= since, read = c.read_time >= since;
  if (c.flags & in_flight && !fresh) report("copy in flight", where, c.write_place, at_address(p, size) + " are being written by cp.async");
  if ((!write || atomic) && !known) report("uninitialised", where, nullptr, at_address(p, size) + " were never written");
  const auto race = [&](const char* what, const void* other, const Past& past, bool blocks) {
    const bool one = past.warp < most_threads / 32 && !(past.lanes & (past.lanes - 1));
    report("race", where, other, std::string(what) + " of " + at_address(p, size) +
           (blocks || past.time < block_began ? ", by another block" : one ? ", by thread " + std::to_string(32 * past.warp + unsigned(__builtin_ctz(past.lanes))) : ", by several threads"));
  };
  bool concurrent = false;  // with the last write
  if (written) {
    const bool by_atomics = c.flags & atomic_write, blocks = c.flags & atomics_before;
    concurrent = !in_order(write_of(c), by_atomics, f, p);
    if (!(atomic && by_atomics) && (concurrent || (blocks && !in_order_by_atomics({c.write_time, several, 0, 0}, true, f, p) && !acquired_from_all_blocks_before(f))))
      race(write ? "two writes" : "read after write", c.write_place, write_of(c), blocks);
  }
  if (write && read) {
    const bool blocks = c.flags & reads_before;
    if (!in_order(reads_of(c), false, f, p) || (blocks && !acquired_from_all_blocks_before(f))) race("write after read", c.read_place, reads_of(c), blocks);
  }

  const std::uint32_t clock = clock_of(f);
  if (write) {
    const bool joins = written && atomic && c.flags & atomic_write;  // atomics that nothing orders: a plain access must be in order with all
    const bool blocks = joins && (c.flags & atomics_before || (concurrent && c.write_time < block_began));
    c.writer = joins && concurrent && c.write_time >= block_began ? several : f.number;
    c.write_time = now, c.write_clock = clock, c.write_place = where;
    c.flags = std::uint8_t((c.flags & (valid | freed | is_split | reads_before)) | holds_numbers | (atomic ? atomic_write : 0) | (blocks ? atomics_before : 0) | (kind & 8 ? in_flight : 0));
  } else {
    const std::uint32_t mine = 1u << f.lane;
    if (read && c.read_time >= barrier_passed_at) {  // beside other readers of this stretch between barriers
      if (c.reader_warp != f.number / 32) c.reader_warp = several_warps, c.readers = 0;
      else if (c.read_clock == clock || !in_step(reads_of(c), f.number, synced[f.number])) c.readers |= mine, c.read_clock = std::max(c.read_clock, clock);
      else c.readers = mine, c.read_clock = clock;
    } else {
      if (!read) c.flags &= std::uint8_t(~reads_before);
      else if (c.read_time < block_began) c.flags |= reads_before;
      c.reader_warp = std::uint8_t(f.number / 32), c.readers = mine, c.read_clock = clock;
    }
    c.read_time = now, c.read_place = where;
  }
}

}  // namespace

bool checking() { return true; }

void fence() {
  const Fiber& f = running();
  Fence& mine = last_fence[f.number];
  mine = {block_began, barrier_passed_at, now++, f.number, {}};
  std::copy(std::begin(synced[f.number]), std::end(synced[f.number]), mine.seen);
}

void touch(const void* p, unsigned bytes, int kind, const void* where) {
  if (!self) return;
  const Fiber& f = running();
  const bool write = kind & 1 || kind & 8, shared = in_shared(p);
  if (shared) {
    if (!shared_holds(p, bytes)) return report("out of bounds", where, nullptr, at_address(p, bytes) + " of shared memory are in no array");
  } else if (in_device(p)) {
    const auto usable = [&](const Cell& c) {
      if (c.flags & valid) return true;
      if (c.flags & freed) report("use after release", where, nullptr, at_address(p, bytes));
      else report("out of bounds", where, nullptr, at_address(p, bytes) + " of device memory are in no block");
      return false;
    };
    Cell* const c = &of_device.pair(p);
    if (bytes == 1 && c->flags & is_split) {
      if (!usable(Shadow::odd(p) ? of_device.second(*c) : *c)) return;
    } else {
      for (unsigned i = 0; i < (bytes + 1) / 2; ++i)
        if (!usable(c[i]) || (c[i].flags & is_split && !usable(of_device.second(c[i])))) return;
    }
  } else if (on_fiber_stacks(p)) {
    if (owner_of_stack(p) != f.number) report("another thread's local memory", where, nullptr, at_address(p, bytes));
    if (kind & (4 | 8)) report("not shared memory", where, nullptr, at_address(p, bytes));
    return;
  } else {
    const bool constant = static_cast<const char*>(p) >= &__executable_start && static_cast<const char*>(p) < &_end;
    if (write || !constant) report("host memory in a kernel", where, nullptr, at_address(p, bytes));
    return;
  }
  if (kind & (4 | 8) && !shared) return report("not shared memory", where, nullptr, at_address(p, bytes));
  if (reinterpret_cast<std::uintptr_t>(p) % bytes) return report("misaligned", where, nullptr, at_address(p, bytes));
  if (kind & 2 && !shared) order_by_atomic(p, f);
  const Shadow& shadow = shared ? of_shared : of_device;
  if (bytes == 1) {
    look(shadow.byte(p), kind, shared, where, f, p, bytes);
  } else {
    Cell* const c = &shadow.pair(p);
    for (unsigned i = 0; i < bytes / 2; ++i) {
      look(c[i], kind, shared, where, f, p, bytes);
      if (!(c[i].flags & is_split)) continue;
      look(shadow.second(c[i]), kind, shared, where, f, p, bytes);
      if (write) c[i].flags &= std::uint8_t(~is_split & ~reads_before);  // one again
    }
  }
  log_access({where, reinterpret_cast<std::uintptr_t>(p), std::uint16_t(bytes), shared, write, bool(kind & 2)});
}

void copy_leaves(PendingCopy& c) { c.left = now++; }
void copy_arrives(const PendingCopy& c) {
  if (!in_shared(c.to)) return;
  of_shared.each(c.to, 16, [&](Cell& cell) {
    cell.flags &= std::uint8_t(~in_flight);
    cell.write_time = now, cell.writer = running().number, cell.write_clock = clock_of(running());
  });
  if (!c.valid || !in_device(c.from)) return;
  of_device.each(c.from, 16, [&](const Cell& cell) {
    if (cell.write_time > c.left) report("copy in flight", cell.write_place, c.where, at_address(c.from, 16) + " were written while cp.async read them");
  });
}

void note_device_range(const void* base, std::size_t bytes) {
  void* const cells = mmap(nullptr, bytes * sizeof(Cell), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (cells == MAP_FAILED) {
    std::fprintf(stderr, "cuda-sim: no address space for the checker's shadow of device memory\n");
    std::abort();
  }
  of_device = {static_cast<const char*>(base), static_cast<Cell*>(cells), bytes / 2};
}

static std::map<const void*, std::size_t>& block_sizes() {
  static std::map<const void*, std::size_t>& sizes = *new std::map<const void*, std::size_t>;  // devices may be the last to go
  return sizes;
}
void note_block(const void* p, std::size_t bytes, const char*) {
  if (!in_device(p)) return;
  block_sizes()[p] = bytes;
  std::fill_n(&of_device.pair(p), bytes / 2, cell_with(valid));
  if (bytes % 2) of_device.pair(static_cast<const char*>(p) + bytes - 1) = cell_with(0), of_device.byte(static_cast<const char*>(p) + bytes - 1) = cell_with(valid | is_split);
}
void note_block_gone(const void* p) {
  const auto it = block_sizes().find(p);
  if (it == block_sizes().end()) return;
  std::fill_n(&of_device.pair(p), (it->second + 1) / 2, cell_with(freed));
  block_sizes().erase(it);
}

// Of two bytes from an even address, or of one.
static bool holds(const char* p, bool both) {
  Cell& c = of_device.pair(p);
  const bool first = c.flags & holds_numbers, second = (c.flags & is_split ? of_device.second(c) : c).flags & holds_numbers;
  return both ? first && second : Shadow::odd(p) ? second : first;
}
static void note_written(const void* to, const void* from, std::size_t bytes) {  // from: null: all of it holds numbers
  const char *p = static_cast<const char*>(to), *q = static_cast<const char*>(from);
  for (const char* const end = p + bytes; p < end;) {
    const bool both = !Shadow::odd(p) && p + 2 <= end && (!q || (!Shadow::odd(q) && !(of_device.pair(q).flags & is_split)));
    Cell& c = both ? of_device.pair(p) : of_device.byte(p);
    c = cell_with((c.flags & (both ? valid | freed : valid | freed | is_split)) | (!q || holds(q, both) ? holds_numbers : 0));
    p += both ? 2 : 1;
    if (q) q += both ? 2 : 1;
  }
}
void note_written_by_host(const void* p, std::size_t bytes) {
  if (in_device(p)) note_written(p, nullptr, bytes);
}
void note_copied(void* to, const void* from, std::size_t bytes) {  // what was never written stays so
  if (in_device(to)) note_written(to, in_device(from) ? from : nullptr, bytes);
}

void begin_launch() {
  launch_began = ++now, blocks_before = 0;
  published.clear();
  traffic_begin_launch();
}
void begin_block() {
  block_began = barrier_passed_at = ++now;
  acquired.clear();
  reset_shared();
}
void barrier_passed() {
  barrier_passed_at = ++now;
  for (Warp& w : warps) traffic_flush(w);
}
void warp_met(Warp& w) { traffic_flush(w); }
void warp_synced(unsigned lanes, const Warp& w) {
  const auto each = [&](auto f) {
    for (unsigned rest = lanes; rest; rest &= rest - 1) f(synced[w.lanes[__builtin_ctz(rest)]->number]);
  };
  std::uint32_t all[32] = {};
  each([&](const std::uint32_t* one) {
    for (int i = 0; i < 32; ++i) all[i] = std::max(all[i], one[i]);
  });
  ++last_clock;
  for (int i = 0; i < 32; ++i)
    if (lanes >> i & 1) all[i] = last_clock;
  each([&](std::uint32_t* one) { std::copy(std::begin(all), std::end(all), one); });
}
void end_block() {
  ++blocks_before;
  for (Warp& w : warps) traffic_flush(w);
}
void end_launch() { traffic_end_launch(); }

#endif

}  // namespace sspo::cuda::inline sim
