// What a launcher is given besides its arguments: where work is queued, and memory for the length of one call.
//   Workspace sums(ctx, parts * sizeof(float), "group_norm");   float* p = sums.as<float>();
#pragma once
#include <cstddef>

#include "runtime.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

// Device memory that is taken and given back in the order of one stream: what is given back may be handed out at once to work
// queued later.
class Scratch {
 public:
  virtual ~Scratch() = default;
  virtual void* take(std::size_t bytes, const char* what) = 0;  // 64-byte aligned; throws Error
  virtual void give(void* p) noexcept = 0;
};

struct Context {
  Stream& stream;
  Scratch& scratch;
  bool tf32 = false;  // products of f32 may round their factors to tf32 (10 bits of fraction) and run on tensor cores
};

class Workspace {
 public:
  Workspace(const Context& ctx, std::size_t bytes, const char* what) : scratch_(ctx.scratch), data_(ctx.scratch.take(bytes, what)) {}
  ~Workspace() { scratch_.give(data_); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  template <class T> T* as() const { return static_cast<T*>(data_); }

 private:
  Scratch& scratch_;
  void* data_;
};

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
