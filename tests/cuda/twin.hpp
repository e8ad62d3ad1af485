// For tests of kernels on views: one array on the host and the same on the device, views of both, random contents of any dtype.
#pragma once
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "backend.hpp"
#include "device_test.hpp"

namespace sspo::cuda {

using Bytes = std::vector<unsigned char>;

inline Backend& cpu_backend() {
  static const Device* const device = new Device(Device::cpu());  // never released: the checking build has no atomics for its count
  return backend(*device);
}

// Half of the floats any bits, half of usual size; some infinite, NaN, zero, on the edge of the integers.
inline Bytes random_bytes(DType dtype, Index n, unsigned seed) {
  std::mt19937_64 rng(seed);
  std::normal_distribution<double> normal;
  Bytes bytes(std::size_t(n) * size_of(dtype));
  const double special[] = {0, -0.0, INFINITY, -INFINITY, NAN, 0x1p31, -0x1p31, 0x1p63, -0x1p63, 255, 256, 0.5, -0.5, 65519, 65520};
  visit(dtype, [&]<class T>(std::type_identity<T>) {
    for (Index i = 0; i < n; ++i) {
      T x;
      const std::uint64_t bits = rng();
      if constexpr (std::is_same_v<T, bool>) x = bits & 1;
      else if constexpr (std::is_integral_v<T>) x = T(std::int64_t(bits) >> (rng() % 64));
      else if (rng() % 2) std::memcpy(static_cast<void*>(&x), &bits, sizeof x);
      else {
        const double v = rng() % 8 ? std::ldexp(normal(rng), int(rng() % 40) - 20) : special[rng() % std::size(special)];
        if constexpr (sizeof(T) == 2) x = T(float(v));
        else x = T(v);
      }
      std::memcpy(bytes.data() + std::size_t(i) * sizeof(T), &x, sizeof x);
    }
  });
  return bytes;
}

class Twin {
 public:
  Twin(TestDevice& d, DType dtype, Bytes bytes) : dtype_(dtype), host_(std::move(bytes)), device_(d, host_) {}
  Twin(TestDevice& d, DType dtype, Index n, unsigned seed) : Twin(d, dtype, random_bytes(dtype, n, seed)) {}
  template <class T> Twin(TestDevice& d, const std::vector<T>& x) : Twin(d, dtype_of<T>, bytes_of(x)) {}

  View host(const Shape& shape, const Strides& strides, Index first = 0) { return {host_.data() + at(first), dtype_, shape, strides}; }
  View device(const Shape& shape, const Strides& strides, Index first = 0) const { return {device_.data() + at(first), dtype_, shape, strides}; }
  View host(const Shape& shape, Index first = 0) { return host(shape, contiguous_strides(shape), first); }
  View device(const Shape& shape, Index first = 0) const { return device(shape, contiguous_strides(shape), first); }

  const Bytes& host_bytes() const { return host_; }
  Bytes device_bytes() const { return device_.host(); }
  bool equal() const { return host_ == device_bytes(); }  // bit for bit, the elements outside every view included
  template <class T> std::vector<T> host_values() const { return values_of<T>(host_); }
  template <class T> std::vector<T> device_values() const { return values_of<T>(device_bytes()); }

 private:
  std::size_t at(Index first) const { return std::size_t(first) * size_of(dtype_); }
  template <class T> static Bytes bytes_of(const std::vector<T>& x) {
    Bytes b(x.size() * sizeof(T));
    if (!b.empty()) std::memcpy(b.data(), x.data(), b.size());
    return b;
  }
  template <class T> static std::vector<T> values_of(const Bytes& b) {
    std::vector<T> x(b.size() / sizeof(T));
    if (!b.empty()) std::memcpy(x.data(), b.data(), b.size());
    return x;
  }
  DType dtype_;
  Bytes host_;
  DeviceArray<unsigned char> device_;
};

inline std::string findings_text() {
  std::string all;
  for (const Finding& f : findings()) all += f.text() + "\n";
  return all;
}
inline void require_no_findings() {
  INFO(findings_text());
  REQUIRE(findings().empty());
}
inline KernelCounters counters_of(const std::string& kernel) {
  for (const KernelCounters& c : counters())
    if (c.kernel == kernel) return c;
  return {};
}

}  // namespace sspo::cuda
