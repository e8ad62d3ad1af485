// The checker's shadow of device and shared memory: for each two bytes who wrote and who read last, and since which barrier.
//
// Time is a counter that grows at each launch, block and barrier. Two accesses of one place, one of them a write, race when
//   the earlier is of another block of this launch (blocks are unordered), or
//   it is of this block since its last barrier, by another thread, and no __syncwarp of both lies between
// unless both are atomic. A kernel that is ordered some other way (a spin lock, flags and fences) is beyond this rule.
#include "checker.hpp"

#include <cstring>

#include "sim.hpp"

#if defined(SSPO_SIM_CHECK)
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <map>

extern "C" char __executable_start, _end;
#endif

namespace sspo::cuda::inline sim {

void fence() {}

#if !defined(SSPO_SIM_CHECK)

bool checking() { return false; }
void touch(const void*, unsigned, int, const void*) {}
void note_device_range(const void*, std::size_t) {}
void note_written_by_host(const void*, std::size_t) {}
void note_copied(void*, const void*, std::size_t) {}
void note_block(const void*, std::size_t, const char*) {}
void note_block_gone(const void*) {}
void begin_launch() { traffic_begin_launch(); }
void begin_block() { reset_shared(); }
void barrier_passed() {}
void warp_met(Warp&) {}
void end_block() {}
void end_launch() { traffic_end_launch(); }
void copy_arrives(const PendingCopy&) {}

#else

namespace {

constexpr std::uint16_t several = 0xffff;
enum Flag : std::uint8_t { low_byte = 1, high_byte = 2, both_bytes = 3, valid = 4, freed = 8, atomic_write = 16, in_flight = 32 };

struct Cell {
  std::uint32_t write_time, read_time;
  std::uint16_t writer, reader, write_clock, read_clock;
  std::uint8_t flags;  // which bytes hold numbers, and Flag
  std::uint8_t written, read;  // bytes of the last write and read
  std::uint8_t unused;
  const void* write_place;
  const void* read_place;
};

Cell cell_with(std::uint8_t flags) {
  Cell c{};
  c.flags = flags;
  return c;
}

std::uint32_t now = 1, launch_began = 0, block_began = 0;
const char* device_base = nullptr;
Cell* device_cells = nullptr;
Cell shared_cells[shared_capacity / 2];

Cell* cells_of(const void* p) { return device_cells + std::size_t(static_cast<const char*>(p) - device_base) / 2; }
bool in_device(const void* p) { return device_base && std::size_t(static_cast<const char*>(p) - device_base) < device_range_bytes; }
bool in_shared(const void* p) { return std::size_t(static_cast<const unsigned char*>(p) - shared_memory) < shared_capacity; }

std::string at_address(const void* p, unsigned bytes) {
  char text[64];
  std::snprintf(text, sizeof text, "%u bytes at %p", bytes, p);
  return text;
}

bool in_order(std::uint32_t time, std::uint16_t who, std::uint16_t clock, const Fiber& f) {
  if (time < launch_began) return true;
  if (time < block_began) return false;  // another block
  if (time < now || who == f.number) return true;
  return who != several && who / 32 == f.number / 32 && clock < warp_of(f).clock;
}

void look(Cell& c, std::uint8_t bytes, int kind, bool shared, const void* where, const Fiber& f, const void* p, unsigned size) {
  const bool write = kind & 1 || kind & 8, atomic = kind & 2;
  const bool fresh = shared && c.write_time < block_began;  // shared memory begins anew with each block
  const std::uint8_t known = fresh ? 0 : c.flags & both_bytes;
  if (c.flags & in_flight && !fresh && (c.written & bytes))
    report("copy in flight", where, c.write_place, at_address(p, size) + " are being written by cp.async");
  if (!write || atomic)
    if ((known & bytes) != bytes) report("uninitialised", where, nullptr, at_address(p, size) + " were never written");
  const auto race = [&](const char* what, const void* other, std::uint16_t who, bool other_block) {
    report("race", where, other, std::string(what) + " of " + at_address(p, size) + (other_block ? ", by another block" : who == several ? ", by several threads" : ", by thread " + std::to_string(who)));
  };
  if (c.write_time && (c.written & bytes) && !fresh && !in_order(c.write_time, c.writer, c.write_clock, f) && !(atomic && c.flags & atomic_write))
    race(write ? "two writes" : "read after write", c.write_place, c.writer, c.write_time < block_began);
  if (write && !atomic && c.read_time && (c.read & bytes) && !(shared && c.read_time < block_began) && !in_order(c.read_time, c.reader, c.read_clock, f))
    race("write after read", c.read_place, c.reader, c.read_time < block_began);

  const std::uint16_t clock = warp_of(f).clock;
  if (write) {
    const bool same = !fresh && c.write_time == now && c.writer == f.number;
    c.written = same ? c.written | bytes : bytes;
    c.write_time = now, c.writer = f.number, c.write_clock = clock, c.write_place = where;
    c.flags = std::uint8_t((c.flags & (valid | freed)) | known | bytes | (atomic ? atomic_write : 0) | (kind & 8 ? in_flight : 0));
  } else {
    const bool joined = c.read_time == now && c.reader != f.number;
    c.read = joined ? c.read | bytes : bytes;
    c.reader = joined ? several : f.number;
    c.read_time = now, c.read_clock = clock, c.read_place = where;
  }
}

}  // namespace

bool checking() { return true; }

void touch(const void* p, unsigned bytes, int kind, const void* where) {
  if (!self) return;
  const Fiber& f = running();
  const bool write = kind & 1 || kind & 8;
  Cell* cell = nullptr;
  bool shared = false;
  if (in_shared(p)) {
    shared = true;
    if (!shared_holds(p, bytes)) return report("out of bounds", where, nullptr, at_address(p, bytes) + " of shared memory are in no array");
    cell = shared_cells + std::size_t(static_cast<const unsigned char*>(p) - shared_memory) / 2;
  } else if (in_device(p)) {
    cell = cells_of(p);
    for (unsigned i = 0; i < (bytes + 1) / 2; ++i) {
      if (cell[i].flags & valid) continue;
      if (cell[i].flags & freed) return report("use after release", where, nullptr, at_address(p, bytes));
      return report("out of bounds", where, nullptr, at_address(p, bytes) + " of device memory are in no block");
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
  if (bytes == 1) look(*cell, reinterpret_cast<std::uintptr_t>(p) % 2 ? high_byte : low_byte, kind, shared, where, f, p, bytes);
  else
    for (unsigned i = 0; i < bytes / 2; ++i) look(cell[i], both_bytes, kind, shared, where, f, p, bytes);
  log_access({where, reinterpret_cast<std::uintptr_t>(p), std::uint16_t(bytes), shared, write, bool(kind & 2)});
}

void copy_arrives(const PendingCopy& c) {
  if (!in_shared(c.to)) return;
  Cell* const cell = shared_cells + std::size_t(static_cast<unsigned char*>(c.to) - shared_memory) / 2;
  for (int i = 0; i < 8; ++i) {
    cell[i].flags = std::uint8_t((cell[i].flags & ~in_flight) | both_bytes);
    cell[i].write_time = now, cell[i].writer = running().number, cell[i].write_clock = warp_of(running()).clock, cell[i].written = both_bytes;
  }
}

void note_device_range(const void* base, std::size_t bytes) {
  device_base = static_cast<const char*>(base);
  device_cells = static_cast<Cell*>(mmap(nullptr, bytes / 2 * sizeof(Cell), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (device_cells == MAP_FAILED) {
    std::fprintf(stderr, "cuda-sim: no address space for the checker's shadow of device memory\n");
    std::abort();
  }
}

static std::map<const void*, std::size_t>& block_sizes() {
  static std::map<const void*, std::size_t>& sizes = *new std::map<const void*, std::size_t>;  // devices may be the last to go
  return sizes;
}
void note_block(const void* p, std::size_t bytes, const char*) {
  if (!in_device(p)) return;
  block_sizes()[p] = bytes;
  Cell* const c = cells_of(p);
  for (std::size_t i = 0; i < (bytes + 1) / 2; ++i) c[i] = cell_with(valid);
}
void note_block_gone(const void* p) {
  const auto it = block_sizes().find(p);
  if (it == block_sizes().end()) return;
  Cell* const c = cells_of(p);
  for (std::size_t i = 0; i < (it->second + 1) / 2; ++i) c[i] = cell_with(freed);
  block_sizes().erase(it);
}
void note_written_by_host(const void* p, std::size_t bytes) {
  if (!in_device(p)) return;
  Cell* const c = cells_of(p);
  for (std::size_t i = 0; i < (bytes + 1) / 2; ++i) c[i] = cell_with(std::uint8_t((c[i].flags & (valid | freed)) | both_bytes));
}
void note_copied(void* to, const void* from, std::size_t bytes) {  // what was never written stays so
  if (!in_device(to) || !in_device(from)) return note_written_by_host(to, bytes);
  Cell* const c = cells_of(to);
  const Cell* const had = cells_of(from);
  for (std::size_t i = 0; i < (bytes + 1) / 2; ++i) c[i] = cell_with(std::uint8_t((c[i].flags & (valid | freed)) | (had[i].flags & both_bytes)));
}

void begin_launch() {
  launch_began = ++now;
  traffic_begin_launch();
}
void begin_block() {
  block_began = ++now;
  reset_shared();
}
void barrier_passed() {
  ++now;
  for (Warp& w : warps) traffic_flush(w);
}
void warp_met(Warp& w) { traffic_flush(w); }
void end_block() {
  for (Warp& w : warps) traffic_flush(w);
}
void end_launch() { traffic_end_launch(); }

#endif

}  // namespace sspo::cuda::inline sim
