// What host code asks of a device, in both worlds: memory, copies, streams, launches. Every call throws Error with what it was
// doing; nothing returns a status.
//   Stream stream;
//   LaunchPlan plan{.kernel = "group_norm_forward", .grid = {64}, .block = {256}, .shared_bytes = 4096};
//   launch(stream, plan, group_norm_forward<float, 256>, args);
#pragma once
#include <cstddef>
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
};
const DeviceLimits& limits();
void use_device(int index);  // this process's GPU from here on; throws Error: there is none, or none of this number
void check_plan(const LaunchPlan& plan);  // throws Error: what exceeds which limit

// Work in order. Two streams are unordered but through events.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  void synchronize();  // errors of earlier work surface here
  void* handle() const { return handle_; }

 private:
  void* handle_ = nullptr;
};

void* allocate(std::size_t bytes, const char* what);
void release(void* p) noexcept;
// For an allocator that cuts blocks from larger chunks. Tools that watch memory are told which blocks are in use, and want some bytes
// unused behind each.
void* allocate_chunk(std::size_t bytes);  // null: there is no more
void note_block(const void* p, std::size_t bytes, const char* what);
void note_block_gone(const void* p);
std::size_t bytes_between_blocks();
void copy_in(Stream&, void* device, const void* host, std::size_t bytes);
void copy_out(Stream&, void* host, const void* device, std::size_t bytes);  // returns when the bytes are there
void copy_within(Stream&, void* to, const void* from, std::size_t bytes);
void fill(Stream&, void* device, int byte, std::size_t bytes);

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD

#if defined(__CUDACC__)
#include "gpu/launch.cuh"
#else
#include "sim/launch.hpp"
#endif
