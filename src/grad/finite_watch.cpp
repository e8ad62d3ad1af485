#include "sspo/grad/finite_watch.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace sspo {
namespace {

thread_local FiniteWatch* watching = nullptr;

FiniteWatch::Operand operand(const Tensor& x) { return {x.str(), x.storage()->label, statistics_of(x)}; }

}  // namespace

std::string Statistics::str() const {
  char text[200];
  std::snprintf(text, sizeof text, "%lld numbers, %lld NaN, %lld infinite, the others from %.6g to %.6g, mean %.6g", static_cast<long long>(count),
                static_cast<long long>(nan), static_cast<long long>(infinite), min, max, mean);
  return text;
}

Statistics statistics_of(const Tensor& x) {
  Statistics s;
  s.count = x.numel();
  if (!is_floating(x.dtype())) return s;
  Index finite = 0;
  const auto add = [&](double v) {
    if (std::isnan(v)) ++s.nan;
    else if (std::isinf(v)) ++s.infinite;
    else {
      s.min = finite ? std::min(s.min, v) : v, s.max = finite ? std::max(s.max, v) : v;
      s.mean += v;
      ++finite;
    }
  };
  visit(x.dtype(), [&]<class T>(std::type_identity<T>) {
    if constexpr (std::is_same_v<T, double>) { for (const T v : x.to_vector<T>()) add(v); }
    else if constexpr (is_floating(dtype_of<T>)) { for (const T v : x.to_vector<T>()) add(double(to_float(v))); }
  });
  if (finite) s.mean /= double(finite);
  return s;
}

FiniteWatch::FiniteWatch() : outer_(watching) { watching = this; }
FiniteWatch::~FiniteWatch() { watching = outer_; }
FiniteWatch* FiniteWatch::current() { return watching; }

void FiniteWatch::look(std::string_view op, std::span<const Tensor> inputs, const Tensor& y) {
  if (first_ || !y.defined()) return;
  for (const Tensor& x : inputs)
    if (x.defined() && !x.storage()->label.empty()) parameter_ = x.storage()->label;
  const Statistics s = statistics_of(y);
  if (s.nan + s.infinite == 0) return;
  first_ = {std::string(op), {}, {y.str(), {}, s}, parameter_};
  for (const Tensor& x : inputs)
    if (x.defined() && x.storage() != y.storage()) first_->inputs.push_back(operand(x));
}

}  // namespace sspo
