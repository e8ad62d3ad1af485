// Every function of cpu/simd_math.hpp over plain arrays, one table per instruction set.
#pragma once
#include <string_view>

#include "sspo/base/config.hpp"

namespace sspo::cpu {

struct MathProbe {
  std::string_view name;
  void (*f32)(const float* x, const float* p, float* y, Index n);  // y = f(x), or f(x, p)
  void (*f64)(const double* x, const double* p, double* y, Index n);
};
inline constexpr int math_probe_count = 23;
using MathProbes = MathProbe[math_probe_count];

}  // namespace sspo::cpu
