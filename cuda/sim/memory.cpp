// Device memory, and host calls on it. Blocks lie apart in one reserved range, so that an address beyond a block is nobody's.
#include <sys/mman.h>

#include <cstring>
#include <map>
#include <mutex>

#include "checker.hpp"
#include "sim.hpp"
#include "sspo/base/error.hpp"

namespace sspo::cuda::inline sim {
namespace {

struct Blocks {
  std::mutex mutex;
  std::map<char*, std::size_t> taken;  // bytes, rounded
  std::map<char*, std::size_t> free;   // of the range below `top`
  char* base = nullptr;
  char* top = nullptr;
};
Blocks& blocks() {
  static Blocks& b = *new Blocks;  // devices may be the last to go
  return b;
}
constexpr std::size_t apart = 512, granule = 256;

}  // namespace

static DeviceLimits& changeable_limits() {
  static DeviceLimits of_90{.name = "cuda-sim"};
  return of_90;
}
const DeviceLimits& limits() { return changeable_limits(); }
void set_shared_per_block(std::size_t bytes) { changeable_limits().shared_per_block = bytes; }

void use_device(int index) {
  if (index != 0) fail({.op = "cuda-sim", .what = "no such device", .expected = "0", .got = std::to_string(index)});
}

// The simulator's streams do their work at once, in the order it is given.
Stream::Stream() = default;
Stream::~Stream() = default;
void Stream::synchronize() {}

void* allocate(std::size_t bytes, const char* what) {
  Blocks& b = blocks();
  const std::lock_guard guard(b.mutex);
  if (!b.base) {
    b.base = b.top = static_cast<char*>(mmap(nullptr, device_range_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (b.base == MAP_FAILED) fail({.op = what, .what = "no address space for cuda-sim's memory", .expected = std::to_string(device_range_bytes) + " bytes", .got = "none"});
    note_device_range(b.base, device_range_bytes);
  }
  const std::size_t size = (bytes + apart + granule - 1) / granule * granule;
  char* p = nullptr;
  for (auto it = b.free.begin(); it != b.free.end(); ++it) {  // first fit
    if (it->second < size) continue;
    p = it->first;
    const std::size_t rest = it->second - size;
    b.free.erase(it);
    if (rest) b.free[p + size] = rest;
    break;
  }
  if (!p) {
    if (std::size_t(b.top - b.base) + size > device_range_bytes)
      fail({.op = what, .what = "out of memory of cuda-sim", .expected = std::to_string(device_range_bytes - std::size_t(b.top - b.base)) + " bytes or fewer", .got = std::to_string(bytes)});
    p = b.top, b.top += size;
  }
  b.taken[p] = size;
  note_block(p, bytes, what);
  return p;
}

void* allocate_chunk(std::size_t bytes) {
  void* const chunk = allocate(bytes, "chunk");
  note_block_gone(chunk);  // nobody's, until blocks are cut from it
  return chunk;
}
std::size_t bytes_between_blocks() { return checking() ? 64 : 0; }

void release(void* block) noexcept {
  if (!block) return;
  Blocks& b = blocks();
  const std::lock_guard guard(b.mutex);
  const auto it = b.taken.find(static_cast<char*>(block));
  if (it == b.taken.end()) return;
  note_block_gone(block);
  madvise(it->first, it->second, MADV_DONTNEED);
  auto [where, added] = b.free.emplace(it->first, it->second);
  b.taken.erase(it);
  if (const auto next = std::next(where); next != b.free.end() && where->first + where->second == next->first) {
    where->second += next->second;
    b.free.erase(next);
  }
  if (where != b.free.begin())
    if (const auto before = std::prev(where); before->first + before->second == where->first) {
      before->second += where->second;
      b.free.erase(where);
    }
}

void copy_in(Stream&, void* device, const void* host, std::size_t bytes) {
  if (!bytes) return;
  std::memcpy(device, host, bytes);
  note_written_by_host(device, bytes);
}
void copy_out(Stream&, void* host, const void* device, std::size_t bytes) {
  if (bytes) std::memcpy(host, device, bytes);
}
void copy_within(Stream&, void* to, const void* from, std::size_t bytes) {
  if (!bytes) return;
  std::memmove(to, from, bytes);
  note_copied(to, from, bytes);
}
void fill(Stream&, void* device, int byte, std::size_t bytes) {
  if (!bytes) return;
  std::memset(device, byte, bytes);
  note_written_by_host(device, bytes);
}

}  // namespace sspo::cuda::inline sim
