#include "sspo/tensor/arena.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <vector>

#include "sspo/base/error.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define SSPO_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SSPO_ASAN 1
#endif
#endif
#if defined(SSPO_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace sspo {
namespace {

constexpr std::size_t alignment = 64, huge_page = std::size_t(2) << 20, chunk_min = std::size_t(32) << 20;

std::size_t round_up(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

// The system's memory. Under AddressSanitizer what is not in use, and the slack after a block, may not be read.
class SystemMemory final : public ChunkSource {
 public:
  explicit SystemMemory(bool huge_pages) : huge_pages_(huge_pages) {}
  void* take(std::size_t bytes) override {
    // Two extra megabytes let the chunk start on a huge page.
    void* const raw = mmap(nullptr, bytes + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED) return nullptr;
    const auto address = reinterpret_cast<std::uintptr_t>(raw), start = round_up(address, huge_page);
    if (start > address) munmap(raw, start - address);
    if (const std::size_t tail = address + huge_page - start) munmap(reinterpret_cast<void*>(start + bytes), tail);
    void* const chunk = reinterpret_cast<void*>(start);
    if (huge_pages_) madvise(chunk, bytes, MADV_HUGEPAGE);
    returned(chunk, bytes);
    return chunk;
  }
  void give(void* chunk, std::size_t bytes) noexcept override {
    lent(chunk, bytes, nullptr);
    munmap(chunk, bytes);
  }
  void fill(void* block, int byte, std::size_t bytes) override { std::memset(block, byte, bytes); }
  void lent([[maybe_unused]] void* block, [[maybe_unused]] std::size_t bytes, const char*) override {
#if defined(SSPO_ASAN)
    ASAN_UNPOISON_MEMORY_REGION(block, bytes);
#endif
  }
  void returned([[maybe_unused]] void* block, [[maybe_unused]] std::size_t bytes) noexcept override {
#if defined(SSPO_ASAN)
    ASAN_POISON_MEMORY_REGION(block, bytes);
#endif
  }

 private:
  bool huge_pages_;
};

std::string mebibytes(std::size_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f MiB", double(bytes) / (1 << 20));
  return text;
}

}  // namespace

struct Arena::State {
  // The free blocks are in `free_` by size; every block, free or used, is in its chunk's address order.
  struct Block { std::size_t size; std::size_t chunk; const char* holder; };  // holder null: free
  using Address = std::uintptr_t;

  Options options;
  std::shared_ptr<ChunkSource> source;
  mutable std::mutex mutex;
  std::map<Address, Block> blocks;
  std::set<std::pair<std::size_t, Address>> free_blocks;
  std::map<Address, std::size_t> chunks;  // start, bytes
  MemoryStats stats{};

  void* allocate(std::size_t bytes, const char* what);

  void add_chunk(std::size_t bytes, const char* what) {
    if (bytes > chunk_min) trim();  // what lies idle is too small for this; what it was for fits the new chunk the next time
    std::size_t size = round_up(std::max(bytes, std::min(chunk_min, std::max(huge_page, stats.reserved / 2))), huge_page);
    void* chunk = source->take(size);
    if (!chunk) {  // no more than is needed, out of what lies idle
      trim();
      chunk = source->take(size = round_up(bytes, huge_page));
    }
    if (!chunk)
      fail({.op = what, .what = "the device has no memory left", .expected = mebibytes(bytes) + " more",
            .got = mebibytes(stats.reserved) + " reserved, " + mebibytes(stats.in_use) + " in use: " + holders(),
            .hint = "use a smaller batch, or recompute() around large blocks; --max-memory says before the first step what does not fit", .kind = ErrorKind::memory}, Site{});
    const Address start = Address(chunk);
    chunks[start] = size;
    blocks[start] = {size, start, nullptr};
    free_blocks.insert({size, start});
    stats.reserved += size;
  }

  // Gives chunks without a block in use back.
  void trim() {
    for (auto chunk = chunks.begin(); chunk != chunks.end();) {
      const auto block = blocks.find(chunk->first);
      if (block->second.holder || block->second.size != chunk->second) {
        ++chunk;
        continue;
      }
      free_blocks.erase({block->second.size, block->first});
      blocks.erase(block);
      source->give(reinterpret_cast<void*>(chunk->first), chunk->second);
      stats.reserved -= chunk->second;
      chunk = chunks.erase(chunk);
    }
  }

  std::string holders() const {
    std::unordered_map<std::string, std::size_t> by_name;
    for (const auto& [address, block] : blocks)
      if (block.holder) by_name[block.holder] += block.size;
    std::vector<std::pair<std::size_t, std::string>> order;
    for (const auto& [name, bytes] : by_name) order.push_back({bytes, name});
    std::sort(order.rbegin(), order.rend());
    std::string text;
    for (std::size_t i = 0; i < order.size() && i < 6; ++i)
      text += (i ? ", " : "") + order[i].second + " " + mebibytes(order[i].first);
    return text.empty() ? "nothing" : text;
  }
};

Arena::Arena(Options options) : state_(std::make_unique<State>()) {
  state_->source = options.source ? options.source : std::make_shared<SystemMemory>(options.huge_pages);
  state_->options = std::move(options);
}

Arena::~Arena() {
  for (const auto& [start, bytes] : state_->chunks) state_->source->give(reinterpret_cast<void*>(start), bytes);
}

void* Arena::allocate(std::size_t bytes, const char* what) {
  void* const block = state_->allocate(bytes, what);
  if (!state_->options.fill_with_nan) return block;
  try {
    state_->source->fill(block, 0xff, bytes);
  } catch (...) {  // a device may fail to
    release(block);
    throw;
  }
  return block;
}

void* Arena::State::allocate(std::size_t bytes, const char* what) {
  if (bytes > (std::size_t(1) << 48))
    fail({.op = what, .what = "allocation too large", .expected = "at most 2^48 bytes", .got = std::to_string(bytes) + " bytes",
          .kind = ErrorKind::memory}, Site{});
  const std::size_t size = round_up(std::max<std::size_t>(bytes, 1) + source->apart(), alignment);
  const std::lock_guard lock(mutex);
  if (options.budget && stats.in_use + size > options.budget)
    fail({.op = what, .what = "memory budget exceeded", .expected = "at most " + mebibytes(options.budget) + " in use",
          .got = mebibytes(stats.in_use) + " in use and " + mebibytes(size) + " more; held by " + holders(),
          .hint = "raise the budget (--max-memory), use a smaller batch, or recompute() around large blocks",
          .kind = ErrorKind::memory}, Site{});
  auto fit = free_blocks.lower_bound({size, 0});  // the smallest block that holds it
  if (fit == free_blocks.end()) {
    add_chunk(size, what);
    fit = free_blocks.lower_bound({size, 0});
  }
  const auto address = fit->second;
  free_blocks.erase(fit);
  Block& block = blocks[address];
  if (const std::size_t rest = block.size - size) {
    blocks[address + size] = {rest, block.chunk, nullptr};
    free_blocks.insert({rest, address + size});
    block.size = size;
  }
  block.holder = what;
  stats.in_use += size;
  stats.peak = std::max(stats.peak, stats.in_use);
  ++stats.blocks;
  source->lent(reinterpret_cast<void*>(address), bytes, what);
  return reinterpret_cast<void*>(address);
}

void Arena::release(void* pointer) noexcept {
  if (!pointer) return;
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  auto it = s.blocks.find(State::Address(pointer));
  s.stats.in_use -= it->second.size;
  --s.stats.blocks;
  s.source->returned(pointer, it->second.size);
  it->second.holder = nullptr;
  const auto merge = [&](auto left, auto right) {  // `right` becomes part of `left`
    left->second.size += right->second.size;
    s.blocks.erase(right);
  };
  if (const auto next = std::next(it); next != s.blocks.end() && !next->second.holder && next->second.chunk == it->second.chunk) {
    s.free_blocks.erase({next->second.size, next->first});
    merge(it, next);
  }
  if (it != s.blocks.begin()) {
    if (const auto previous = std::prev(it); !previous->second.holder && previous->second.chunk == it->second.chunk) {
      s.free_blocks.erase({previous->second.size, previous->first});
      merge(previous, it);
      it = previous;
    }
  }
  s.free_blocks.insert({it->second.size, it->first});
}

MemoryStats Arena::stats() const {
  const std::lock_guard lock(state_->mutex);
  return state_->stats;
}

void Arena::reset_peak() {
  const std::lock_guard lock(state_->mutex);
  state_->stats.peak = state_->stats.in_use;
}

void Arena::trim() {
  const std::lock_guard lock(state_->mutex);
  state_->trim();
}

std::string Arena::holders() const {
  const std::lock_guard lock(state_->mutex);
  return state_->holders();
}

}  // namespace sspo
