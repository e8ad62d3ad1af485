// What tests of kernels share: data rounded to a type, errors against doubles, loops over instruction sets.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "cpu/context.hpp"
#include "cpu/isa.hpp"
#include "sspo/base/half.hpp"
#include "sspo/tensor/arena.hpp"

namespace sspo::testing {
using namespace sspo::cpu;
using Doubles = std::vector<double>;

inline double value(bf16 x) { return to_float(x); }
inline double value(double x) { return x; }
template <class T> T make(double x) { if constexpr (sizeof(T) == 2) return T(float(x)); else return T(x); }
template <class T> std::vector<T> rounded(const Doubles& x) {
  std::vector<T> y;
  for (double v : x) y.push_back(make<T>(v));
  return y;
}
template <class T> Doubles values(const std::vector<T>& x) {
  Doubles y;
  for (T v : x) y.push_back(value(v));
  return y;
}
inline Doubles randn(Index n, unsigned seed, double mean = 0, double std = 1) {
  std::mt19937 rng(seed);
  std::normal_distribution<double> d(mean, std);
  Doubles x(static_cast<std::size_t>(n));
  for (double& v : x) v = d(rng);
  return x;
}
// Largest difference over the truth's largest size, or over `size` where that is more.
inline double error(const Doubles& got, const Doubles& truth, double size = 1e-30) {
  double worst = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) size = std::max(size, std::fabs(truth[i]));
  for (std::size_t i = 0; i < truth.size(); ++i) {
    const double e = std::fabs(got[i] - truth[i]) / size;
    worst = e <= worst ? worst : e;  // NaN stays
  }
  return worst;
}
template <class T> double tolerance() { return sizeof(T) == 8 ? 1e-12 : sizeof(T) == 4 ? 3e-6 : 1.2e-2; }
template <class F> void for_each_isa(F f) {
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
    if (isa_supported(isa)) { CAPTURE(std::string(isa_name(isa))); f(isa); }
}
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || !std::memcmp(a.data(), b.data(), a.size() * sizeof(T)));
}

}  // namespace sspo::testing
