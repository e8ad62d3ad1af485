// What tests share: the text of an error, comparisons of bits and numbers.
#pragma once
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <initializer_list>
#include <string>

#include "sspo/ops/elementwise.hpp"
#include "sspo/ops/movement.hpp"

namespace sspo::testing {

template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "(no error)";
}

// f must throw an Error whose text has every part.
template <class F>
void check_error(F&& f, std::initializer_list<const char*> parts) {
  const std::string text = error_of(f);
  for (const char* part : parts) {
    INFO("missing '" << std::string(part) << "' in:\n" << text);
    CHECK(text.find(part) != std::string::npos);
  }
}

inline std::vector<double> numbers(const Tensor& x) { return cast(contiguous(detach(x)), DType::f64).to_vector<double>(); }

inline bool same_bits(const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape()) || a.dtype() != b.dtype()) return false;
  const Tensor x = contiguous(detach(a)), y = contiguous(detach(b));
  return x.numel() == 0 || std::memcmp(x.raw(), y.raw(), std::size_t(x.numel()) * size_of(x.dtype())) == 0;
}

// max |a - b|; NaN if either holds one, and infinite if the shapes differ.
inline double distance(const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape())) return INFINITY;
  const auto x = numbers(a), y = numbers(b);
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double d = std::abs(x[i] - y[i]);
    if (!(d <= worst)) worst = d;
  }
  return worst;
}

}  // namespace sspo::testing
