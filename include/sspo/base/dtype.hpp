// DType: the type of a tensor's elements, and the visit from a run-time DType to a C++ type.
//   visit(x.dtype(), [&]<class T>(std::type_identity<T>) { T* p = x.data<T>(); ... });
#pragma once
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include "sspo/base/half.hpp"

namespace sspo {

enum class DType : std::uint8_t { f32, f64, bf16, f16, i64, i32, u8, boolean };

inline constexpr DType all_dtypes[] = {DType::f32, DType::f64, DType::bf16, DType::f16,
                                       DType::i64, DType::i32, DType::u8,   DType::boolean};

constexpr std::size_t size_of(DType t) {
  constexpr std::size_t bytes[] = {4, 8, 2, 2, 8, 4, 1, 1};
  return bytes[int(t)];
}
constexpr std::string_view name_of(DType t) {
  constexpr std::string_view names[] = {"f32", "f64", "bf16", "f16", "i64", "i32", "u8", "bool"};
  return names[int(t)];
}
constexpr bool is_floating(DType t) { return t <= DType::f16; }
// The type in which an op computes on elements of type t: f32 for the 16-bit floats, i64 for integers and bool.
constexpr DType compute_type(DType t) {
  if (t == DType::f64) return DType::f64;
  return is_floating(t) ? DType::f32 : DType::i64;
}

template <class T> struct DTypeOf;
template <> struct DTypeOf<float> { static constexpr DType value = DType::f32; };
template <> struct DTypeOf<double> { static constexpr DType value = DType::f64; };
template <> struct DTypeOf<bf16> { static constexpr DType value = DType::bf16; };
template <> struct DTypeOf<f16> { static constexpr DType value = DType::f16; };
template <> struct DTypeOf<std::int64_t> { static constexpr DType value = DType::i64; };
template <> struct DTypeOf<std::int32_t> { static constexpr DType value = DType::i32; };
template <> struct DTypeOf<std::uint8_t> { static constexpr DType value = DType::u8; };
template <> struct DTypeOf<bool> { static constexpr DType value = DType::boolean; };
template <class T> inline constexpr DType dtype_of = DTypeOf<std::remove_const_t<T>>::value;

template <class F> decltype(auto) visit(DType t, F&& f) {
  switch (t) {
    case DType::f64: return f(std::type_identity<double>{});
    case DType::bf16: return f(std::type_identity<bf16>{});
    case DType::f16: return f(std::type_identity<f16>{});
    case DType::i64: return f(std::type_identity<std::int64_t>{});
    case DType::i32: return f(std::type_identity<std::int32_t>{});
    case DType::u8: return f(std::type_identity<std::uint8_t>{});
    case DType::boolean: return f(std::type_identity<bool>{});
    default: return f(std::type_identity<float>{});
  }
}

}  // namespace sspo
