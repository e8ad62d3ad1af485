// Device: where tensors live and ops run; a handle that tensors carry. There is no current device.
//   Device cpu = Device::cpu();                                   // this process's: all cores, best kernels
//   Device one = Device::cpu({.threads = 1, .budget = 2ull << 30});
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "sspo/base/shared.hpp"

namespace sspo {

enum class DeviceKind { cpu, cuda, cuda_sim };

struct MemoryStats {
  std::size_t in_use;    // bytes asked for and not yet released, each block rounded up to 64
  std::size_t peak;      // the most in_use has been
  std::size_t reserved;  // bytes taken from the system
  std::size_t blocks;    // blocks in use
};

struct CpuOptions {
  int threads = 0;              // 0: OMP_NUM_THREADS, else one per core. Results do not depend on it.
  std::string_view isa = {};    // baseline, avx2, avx512, avx512_bf16, amx_bf16; empty: SSPO_ISA, else the best
  std::size_t budget = 0;       // most bytes in use; 0: no limit
  std::size_t packed_weights = SIZE_MAX;  // most bytes of weights held a second time, laid out for products of few rows
  bool huge_pages = true;
  bool fill_with_nan = false;   // fresh memory reads as NaN: finds results that were not written
};

struct DeviceState;  // allocator, kernels, observer: src/backend.hpp

class Device {
 public:
  static Device cpu();                    // one per process, made at first use
  static Device cpu(CpuOptions options);  // a new one, with its own memory
  explicit Device(Shared<DeviceState> state) : state_(std::move(state)) {}

  DeviceKind kind() const;
  std::string name() const;  // "cpu (avx2, 2 threads)"
  int threads() const;
  MemoryStats memory() const;
  void reset_peak_memory() const;
  void trim_memory() const;           // gives unused chunks back to the system
  std::string memory_holders() const;  // which ops' results hold memory, largest first

  DeviceState& state() const { return *state_; }
  friend bool operator==(const Device& a, const Device& b) { return a.state_ == b.state_; }

 private:
  Shared<DeviceState> state_;
};

}  // namespace sspo
