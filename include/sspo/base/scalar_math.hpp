// The words in which elementwise ops state their formulas, for float, double and int64. The CPU kernels
// give the same words for SIMD packs (src/cpu/simd_math.hpp); formulas are templates over both.
#pragma once
#include <cmath>
#include <cstdint>

#include "sspo/base/config.hpp"

namespace sspo {

template <class T> concept Scalar = std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, std::int64_t>;
template <class T> concept Real = std::is_same_v<T, float> || std::is_same_v<T, double>;

template <Scalar T> SSPO_HD inline T select(bool condition, T yes, T no) { return condition ? yes : no; }
template <Scalar T> SSPO_HD inline T abs(T x) { return x < T(0) ? -x : (x == T(0) ? T(0) : x); }
// NaN in either operand gives NaN.
template <Scalar T> SSPO_HD inline T max(T a, T b) { return a > b || a != a ? a : b; }
template <Scalar T> SSPO_HD inline T min(T a, T b) { return a < b || a != a ? a : b; }
template <Scalar T> SSPO_HD inline T sign(T x) { return T(T(x > T(0)) - T(x < T(0))); }  // NaN: 0, as in PyTorch
template <Real T> SSPO_HD inline T exp(T x) { return std::exp(x); }
template <Real T> SSPO_HD inline T expm1(T x) { return std::expm1(x); }
template <Real T> SSPO_HD inline T log(T x) { return std::log(x); }
template <Real T> SSPO_HD inline T log1p(T x) { return std::log1p(x); }
template <Real T> SSPO_HD inline T sqrt(T x) { return std::sqrt(x); }
template <Real T> SSPO_HD inline T rsqrt(T x) { return T(1) / std::sqrt(x); }
template <Real T> SSPO_HD inline T pow(T x, T y) { return std::pow(x, y); }
template <Real T> SSPO_HD inline T tanh(T x) { return std::tanh(x); }
template <Real T> SSPO_HD inline T erf(T x) { return std::erf(x); }
template <Real T> SSPO_HD inline T sin(T x) { return std::sin(x); }
template <Real T> SSPO_HD inline T cos(T x) { return std::cos(x); }
template <Real T> SSPO_HD inline T floor(T x) { return std::floor(x); }
template <Real T> SSPO_HD inline T sigmoid(T x) { return T(1) / (T(1) + std::exp(-x)); }

}  // namespace sspo
