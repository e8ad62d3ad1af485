// The words in which elementwise ops state their formulas, for float, double and int64. The CPU kernels
// give the same words for SIMD packs (src/cpu/simd_math.hpp); formulas are templates over both. The C library's
// functions go by their builtin names: <cmath> would cost every unit 0.15 s of compilation.
#pragma once
#include <cstdint>
#include <type_traits>

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
template <Real T> SSPO_HD inline T exp(T x) { if constexpr (sizeof(T) == 4) return __builtin_expf(x); else return __builtin_exp(x); }
template <Real T> SSPO_HD inline T expm1(T x) { if constexpr (sizeof(T) == 4) return __builtin_expm1f(x); else return __builtin_expm1(x); }
template <Real T> SSPO_HD inline T log(T x) { if constexpr (sizeof(T) == 4) return __builtin_logf(x); else return __builtin_log(x); }
template <Real T> SSPO_HD inline T log1p(T x) { if constexpr (sizeof(T) == 4) return __builtin_log1pf(x); else return __builtin_log1p(x); }
template <Real T> SSPO_HD inline T sqrt(T x) { if constexpr (sizeof(T) == 4) return __builtin_sqrtf(x); else return __builtin_sqrt(x); }
template <Real T> SSPO_HD inline T rsqrt(T x) { return T(1) / sqrt(x); }
template <Real T> SSPO_HD inline T pow(T x, T y) { if constexpr (sizeof(T) == 4) return __builtin_powf(x, y); else return __builtin_pow(x, y); }
template <Real T> SSPO_HD inline T tanh(T x) { if constexpr (sizeof(T) == 4) return __builtin_tanhf(x); else return __builtin_tanh(x); }
template <Real T> SSPO_HD inline T erf(T x) { if constexpr (sizeof(T) == 4) return __builtin_erff(x); else return __builtin_erf(x); }
template <Real T> SSPO_HD inline T sin(T x) { if constexpr (sizeof(T) == 4) return __builtin_sinf(x); else return __builtin_sin(x); }
template <Real T> SSPO_HD inline T cos(T x) { if constexpr (sizeof(T) == 4) return __builtin_cosf(x); else return __builtin_cos(x); }
template <Real T> SSPO_HD inline T floor(T x) { if constexpr (sizeof(T) == 4) return __builtin_floorf(x); else return __builtin_floor(x); }
template <Real T> SSPO_HD inline T sigmoid(T x) { return T(1) / (T(1) + exp(-x)); }

}  // namespace sspo
