// What host code asks of a device, in both worlds: memory, copies, streams, events, graphs, launches. Every call throws Error with what
// it was doing, for which op and kernel (failures.hpp); nothing returns a status.
//   Stream stream;
//   LaunchPlan plan{.kernel = "group_norm_forward", .grid = {64}, .block = {256}, .shared_bytes = 4096};
//   launch(stream, plan, group_norm_forward<float, 256>, args);
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "device.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

struct Extent {
  unsigned x = 1, y = 1, z = 1;
};
struct LaunchPlan {
  const char* kernel;  // its name, for errors, findings and counters
  Extent grid, block;
  std::size_t shared_bytes = 0;
};

// What one device can hold. The simulator's are those of compute capability 9.0 (CUDA C++ Programming Guide, 17.2).
struct DeviceLimits {
  std::string name;
  unsigned threads_per_block = 1024;
  unsigned grid_x = 0x7fffffffu, grid_yz = 65535;
  std::size_t shared_per_block = 227 * 1024;  // dynamic and static
  int multiprocessors = 132;
  int capability = 90;  // compute capability 9.0
};
const DeviceLimits& limits();
void use_device(int index);  // this process's GPU from here on; throws Error: there is none, or none of this number
void check_plan(const LaunchPlan& plan);  // throws Error: what exceeds which limit

// Work in order. Two streams are unordered but through events.
// With graphs, what is queued is recorded, and launched as one CUDA graph whenever the host waits for the stream or copies from memory of
// its own: the launches between two waits reach the device together. Order is kept and so are bits: memory given back while recording may
// be handed out at once to what is recorded later, as without graphs.
class Event;
struct GraphCounts {
  std::uint64_t launched = 0;
  std::uint64_t made = 0;  // the others are the update of one as long
};
class Stream {
 public:
  explicit Stream(bool graphs = false);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  void synchronize();       // errors of earlier work surface here
  void wait(const Event&);  // what is queued from here on begins after the event
  void flush();             // launches what is recorded
  void* handle();           // a cudaStream_t to queue work on (cuda-sim: its queue)
  GraphCounts graphs() const;

 private:
  friend class Event;
  friend struct RawStream;
  struct State;
  std::shared_ptr<State> state_;
};

// A place in the order of a stream.
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(Stream&);  // after what is queued so far; flushes
  void wait() const;     // the host waits until the stream is there; at once if nothing was recorded
  bool done() const;
  double milliseconds_since(const Event& earlier) const;  // both done; on cuda-sim by this CPU's clock: no GPU's time

 private:
  friend class Stream;
  struct State;
  std::unique_ptr<State> state_;
};

// Memory of the host that the device copies from and to by itself while the host goes on.
class Pinned {
 public:
  explicit Pinned(std::size_t bytes);
  ~Pinned();
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  char* data() const { return data_; }
  std::size_t size() const { return bytes_; }

 private:
  char* data_;
  std::size_t bytes_;
};

void* allocate(std::size_t bytes, const char* what);
void release(void* p) noexcept;
// For an allocator that cuts blocks from larger chunks. Tools that watch memory are told which blocks are in use, and want some bytes
// unused behind each.
void* allocate_chunk(std::size_t bytes);  // null: there is no more
void note_block(Stream&, const void* p, std::size_t bytes, const char* what) noexcept;  // in the stream's order
void note_block_gone(Stream&, const void* p) noexcept;
std::size_t bytes_between_blocks();
// Pinned bytes must stay as they are, and cannot be read, until an event recorded after the copy is done.
void upload(Stream&, void* device, const Pinned& from, std::size_t first, std::size_t bytes);
void download(Stream&, const Pinned& to, std::size_t first, const void* device, std::size_t bytes);
void copy_in(Stream&, void* device, const void* host, std::size_t bytes);   // the host may write its memory again at once; flushes
void copy_out(Stream&, void* host, const void* device, std::size_t bytes);  // returns when the bytes are there
void copy_within(Stream&, void* to, const void* from, std::size_t bytes);
void fill(Stream&, void* device, int byte, std::size_t bytes);

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD

#if defined(__CUDACC__)
#include "gpu/launch.cuh"
#else
#include "sim/launch.hpp"
#endif
