// What a CPU kernel is given besides its views: threads, instruction set, and memory for workspaces.
#pragma once
#include <cstddef>

#include "cpu/isa.hpp"

namespace sspo {
class Arena;
}

namespace sspo::cpu {

struct Context {
  int threads;
  Isa isa;
  Arena* arena;
};

// Scratch memory of one kernel call, 64-byte aligned, from the device's arena: reused pages, counted bytes.
//   Workspace w(ctx, bytes);  float* p = w.as<float>();
class Workspace {
 public:
  Workspace(const Context& ctx, std::size_t bytes);
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  template <class T>
  T* as() const { return static_cast<T*>(data_); }

 private:
  Arena* arena_;
  void* data_;
};

}  // namespace sspo::cpu
