// For tests of kernels: arrays on the device, and a context to launch in.
#pragma once
#include <vector>

#include "context.hpp"
#include "sim/sim.hpp"

namespace sspo::cuda {

#if defined(__CUDACC__)
inline constexpr bool counts = false;  // sim_on_gpu.cpp
#else
inline constexpr bool counts = true;   // launches, blocks, products; traffic in the checking build
#endif

struct TestScratch : Scratch {
  void* take(std::size_t bytes, const char* what) override { return allocate(bytes, what); }
  void give(void* p) noexcept override { release(p); }
};

struct TestDevice {
  Stream stream;
  TestScratch scratch;
  Context ctx{stream, scratch};
};

// n numbers in device memory, exactly: the checker sees the first access beyond.
template <class T> class DeviceArray {
 public:
  DeviceArray(TestDevice& d, const std::vector<T>& host) : DeviceArray(d, host.size()) { copy_in(d.stream, data_, host.data(), bytes()); }
  DeviceArray(TestDevice& d, std::size_t size) : device_(d), size_(size), data_(allocate(bytes(), "test")) {}
  ~DeviceArray() { release(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  T* data() const { return static_cast<T*>(data_); }
  std::vector<T> host() const {
    std::vector<T> out(size_);
    copy_out(device_.stream, out.data(), data_, bytes());
    return out;
  }

 private:
  std::size_t bytes() const { return size_ * sizeof(T); }
  TestDevice& device_;
  std::size_t size_;
  void* data_;
};

}  // namespace sspo::cuda
