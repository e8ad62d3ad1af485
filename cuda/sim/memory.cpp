// Device memory. Blocks lie apart in one reserved range, so that an address beyond a block is nobody's.
#include <sys/mman.h>

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

namespace {
DeviceLimits& current_limits() {
  static DeviceLimits& l = *new DeviceLimits{.name = "cuda-sim"};
  return l;
}
}  // namespace
const DeviceLimits& limits() { return current_limits(); }
void set_limits(const DeviceLimits& l) { current_limits() = l; }

void use_device(int index) {
  require_device("cuda-sim");
  if (index != 0) fail({.op = "cuda-sim", .what = "no such device", .expected = "0", .got = std::to_string(index)});
}

namespace {
// Null: there is no more.
void* take_block(std::size_t bytes, const char* what) {
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
    if (std::size_t(b.top - b.base) + size > device_range_bytes) return nullptr;
    p = b.top, b.top += size;
  }
  b.taken[p] = size;
  note_block(p, bytes, what);
  return p;
}

}  // namespace

void* allocate(std::size_t bytes, const char* what) {
  const Asked asked{.what = "allocating", .who = what, .bytes = bytes};
  ask(Call::allocate, asked);
  void* const p = take_block(bytes, what);
  if (!p) check(Answer::out_of_memory, asked);
  return p;
}
void* allocate_chunk(std::size_t bytes) {
  const Asked asked{.what = "allocating", .who = "arena", .bytes = bytes};
  try {
    ask(Call::allocate, asked);
  } catch (const Error& e) {
    if (e.info().kind == ErrorKind::memory) return nullptr;
    throw;
  }
  void* const chunk = take_block(bytes, "chunk");
  if (chunk) note_block_gone(chunk);  // nobody's, until blocks are cut from it
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

}  // namespace sspo::cuda::inline sim
