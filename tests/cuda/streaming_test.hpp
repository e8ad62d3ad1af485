// What the tests of kernels that stream through memory share: numbers rounded to a type, errors against f64 on the CPU, results that
// must be the same under every schedule, traffic bars.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "backend.hpp"
#include "device_test.hpp"

namespace sspo::cuda::streaming {

using Doubles = std::vector<double>;
using Results = std::vector<Doubles>;

// Never destroyed: releasing a handle is an atomic operation of the library, which the checker's hooks do not know.
static Device* const cpu_device = new Device(Device::cpu());
inline Backend& on_cpu() { return backend(*cpu_device); }

inline double number(bf16 x) { return to_float(x); }
template <class T> double number(T x) { return double(x); }
template <class T> T make(double x) {
  if constexpr (sizeof(T) == 2) return T(float(x));
  else return T(x);
}
template <class T> std::vector<T> rounded_to(const Doubles& x) {
  std::vector<T> y;
  for (double v : x) y.push_back(make<T>(v));
  return y;
}
template <class T> Doubles numbers(const std::vector<T>& x) {
  Doubles y;
  for (T v : x) y.push_back(number(v));
  return y;
}
template <class T> std::vector<T> randn(Index n, unsigned seed, double mean = 0, double std = 1) {
  std::mt19937 rng(seed);
  std::normal_distribution<double> d(mean, std);
  std::vector<T> x;
  for (Index i = 0; i < n; ++i) x.push_back(make<T>(d(rng)));
  return x;
}
template <class T> std::vector<T> nans(Index n) { return std::vector<T>(std::size_t(n), make<T>(NAN)); }

// Largest difference over the truth's largest size, or over `size` where that is more.
inline double error(const Doubles& got, const Doubles& truth, double size = 1e-30) {
  REQUIRE(got.size() == truth.size());
  double worst = 0;
  for (double t : truth) size = std::max(size, std::fabs(t));
  for (std::size_t i = 0; i < truth.size(); ++i) {
    const double e = std::fabs(got[i] - truth[i]) / size;
    worst = e <= worst ? worst : e;  // NaN stays
  }
  return worst;
}
inline bool same_bits(const Results& a, const Results& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Doubles& x, const Doubles& y) {
    return x.size() == y.size() && (x.empty() || !std::memcmp(x.data(), y.data(), x.size() * sizeof(double)));
  });
}

inline void no_findings() {
  for (const Finding& f : findings()) FAIL_CHECK(f.text());
  reset_findings();
}
// What run() gives; the same bits whatever the schedule, and nothing for the checker to say.
template <class F> Results repeatable(F run) {
  set_schedule(0);
  const Results first = run();
  for (std::uint64_t seed = 1; seed <= (checking() ? 1 : 2); ++seed) {  // the checking build is slow
    set_schedule(seed);
    CHECK(same_bits(run(), first));
  }
  set_schedule(0);
  no_findings();
  return first;
}

// Numbers on the device that begin `offset` elements into their block: 16-byte aligned or not.
template <class T> class Placed {
 public:
  Placed(TestDevice& d, const std::vector<T>& host, Index offset = 0) : offset_(offset), array_(d, shifted(host, offset)) {}
  T* data() const { return array_.data() + offset_; }
  Doubles host() const {
    const std::vector<T> all = array_.host();
    return numbers(std::vector<T>(all.begin() + std::ptrdiff_t(offset_), all.end()));
  }

 private:
  static std::vector<T> shifted(const std::vector<T>& x, Index offset) {
    std::vector<T> y(std::size_t(offset) + 1);  // one more: no block is empty
    y.pop_back();
    y.insert(y.end(), x.begin(), x.end());
    return y;
  }
  Index offset_;
  DeviceArray<T> array_;
};

// Traffic of one kernel since reset_counters().
inline KernelCounters traffic(const std::string& kernel) {
  for (KernelCounters& c : counters())
    if (c.kernel == kernel) return c;
  FAIL("no launch of " << kernel);
  return {};
}
// Sectors that the warps asked for over the fewest that hold the same numbers, and distinct sectors over those of `bytes`.
inline void check_traffic(const std::string& kernel, double bytes_read, double bytes_written, double bar = 1.1) {
  const KernelCounters c = traffic(kernel);
  CAPTURE(kernel);
  std::string lines;
  for (const LineCounters& l : c.lines)
    lines += "\n  " + l.where + (l.shared ? " shared" : " global") + (l.write ? " write " : " read ") + std::to_string(l.requests) + " requests, " + std::to_string(l.units) + " units, fewest " + std::to_string(l.fewest);
  CAPTURE(lines);
  CHECK(double(c.sectors_read + c.sectors_written) <= bar * double(c.sectors_fewest));
  CHECK(double(c.sectors_read) <= bar * bytes_read / 32);
  CHECK(double(c.sectors_written) <= bar * bytes_written / 32);
  CHECK(double(c.wavefronts) <= 1.25 * double(c.wavefronts_fewest));
}
// Of all kernels since reset_counters(): sectors that the warps asked for over those of `bytes`, which no launcher can do without;
// shared memory's wavefronts over conflict-free.
inline void check_all_traffic(double bytes, double bar = 1.1) {
  double sectors = 0, wavefronts = 0, fewest = 0;
  for (const KernelCounters& c : counters()) {
    sectors += double(c.sectors_read + c.sectors_written), wavefronts += double(c.wavefronts), fewest += double(c.wavefronts_fewest);
  }
  CAPTURE(counters_table());
  CHECK(sectors >= bytes / 32);  // fewer: the floor is wrong
  CHECK(sectors <= bar * bytes / 32);
  CHECK(wavefronts <= bar * fewest);
}

}  // namespace sspo::cuda::streaming
