// Arena: the memory of one device. Blocks are cut from large chunks (huge pages where the system gives
// them), returned blocks are merged and reused, so a training loop touches no fresh page after its
// first step. Every byte in use is counted; a budget can be set.
//   Arena arena({.budget = 4ull << 30});
//   void* p = arena.allocate(bytes, "conv2d");   arena.release(p);
#pragma once
#include <cstddef>
#include <memory>
#include <string>

#include "sspo/base/device.hpp"

namespace sspo {

// Where chunks come from.
class ChunkSource {
 public:
  virtual ~ChunkSource() = default;
  virtual void* take(std::size_t bytes) = 0;  // 64-byte aligned; null: there is no more
  virtual void give(void* chunk, std::size_t bytes) noexcept = 0;
  virtual void fill(void* block, int byte, std::size_t bytes) = 0;
  // For tools that watch memory: what of a chunk is in use, and how many bytes should lie unused behind each block.
  virtual void lent(void* block, std::size_t bytes, const char* what) = 0;
  virtual void returned(void* block, std::size_t bytes) noexcept = 0;
  virtual std::size_t apart() const { return 0; }
};

class Arena {
 public:
  struct Options {
    std::size_t budget = 0;  // most bytes in use at once; 0: no limit
    bool huge_pages = true;  // madvise(MADV_HUGEPAGE) on every chunk of the system's
    bool fill_with_nan = false;  // every block starts as bytes 0xff
    std::shared_ptr<ChunkSource> source = {};  // null: the system's memory
  };
  explicit Arena(Options options);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // 64-byte aligned. `what` must be a string that outlives the block (an op's name): it is who holds
  // the memory in the message of an exceeded budget. Throws Error: budget exceeded, system out of memory.
  void* allocate(std::size_t bytes, const char* what);
  void release(void* block) noexcept;

  MemoryStats stats() const;
  void reset_peak();            // peak = in_use
  void trim();                  // gives chunks without a block in use back to the system
  std::string holders() const;  // "conv2d 12.0 MiB, gelu 3.0 MiB, ...": who holds memory, largest first

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sspo
