// How kernels walk views of one shape: axes merged on the host, places found without divisions, elements read in packs and
// converted as the CPU converts them.
//   Walk<2> walk({from.shape}, {&from.strides, &to.strides});
//   walk.in_parts(most_places, [&](const Walk<2>& part) { ... launch(..., Lattice<2>(part)) ... });
//   kernel:  Index at[2];  lattice.locate(e, at);  to[at[1]] = convert<To>(from[at[0]]);
#pragma once
#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>

#include "packs.cuh"
#include "runtime.hpp"
#include "sspo/tensor/view.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

// Quotients of n < 2^31 by one d in [1, 2^31): (⌊m n / 2^32⌋ + n) >> s with 2^(s-1) < d <= 2^s      Granlund & Montgomery 1994
struct Divisor {
  std::uint32_t d = 1, m = 1, s = 0;
  Divisor() = default;
  explicit Divisor(Index by) : d(std::uint32_t(by)) {
    while ((std::uint64_t(1) << s) < d) ++s;
    m = std::uint32_t((((std::uint64_t(1) << s) - d) << 32) / d) + 1;
  }
  SSPO_DEVICE std::uint32_t quotient(std::uint32_t n) const { return (std::uint32_t(std::uint64_t(m) * n >> 32) + n) >> s; }
};

inline constexpr int threads = 256;  // of a block, in every kernel that walks views
inline LaunchPlan one_block_each(const char* kernel, Index items) {
  return {.kernel = kernel, .grid = {unsigned(items)}, .block = {unsigned(threads)}};
}
inline LaunchPlan one_thread_each(const char* kernel, Index items) { return one_block_each(kernel, (items + threads - 1) / threads); }
// Places of one launch: 32 bits count them, with what the last block's threads count beyond.
inline constexpr Index most_places = (Index(1) << 31) - (Index(1) << 16);

// N views of one shape. Axes innermost first, those of extent 1 left out, neighbours merged where every view allows it.
template <int N> struct Walk {
  int rank = 1;
  Index extent[max_rank] = {1};
  Index stride[N][max_rank] = {};
  Index first[N] = {};  // where the walk begins, in elements from each view's data

  Walk() = default;
  // `order`: the axes, outermost first; null: as they are.
  Walk(const Shape& shape, const Strides* const (&strides)[N], const int* order = nullptr) {
    bool started = false;
    for (int k = shape.rank() - 1; k >= 0; --k) {
      const int axis = order ? order[k] : k;
      const std::size_t a = std::size_t(axis);
      if (shape[axis] == 1) continue;
      bool merges = started;
      for (int v = 0; v < N && merges; ++v) merges = (*strides[v])[a] == stride[v][rank - 1] * extent[rank - 1];
      if (merges) {
        extent[rank - 1] *= shape[axis];
        continue;
      }
      rank += started;
      started = true;
      extent[rank - 1] = shape[axis];
      for (int v = 0; v < N; ++v) stride[v][rank - 1] = (*strides[v])[a];
    }
  }

  Index size() const {
    Index n = 1;
    for (int a = 0; a < rank; ++a) n *= extent[a];
    return n;
  }

  // Calls f(part) for parts of at most `most` places, in order; not for none.
  template <class F> void in_parts(Index most, F&& f) const {
    if (size() == 0) return;
    if (size() <= most) return f(*this);
    Walk low = *this, high = *this;
    const int outer = rank - 1;
    low.extent[outer] /= 2;
    high.extent[outer] -= low.extent[outer];
    for (int v = 0; v < N; ++v) high.first[v] += low.extent[outer] * stride[v][outer];
    for (Walk* w : {&low, &high}) {
      if (w->rank > 1 && w->extent[outer] == 1) --w->rank;
      w->in_parts(most, f);
    }
  }

  // Whether V neighbours are one pack of view v everywhere: side by side, aligned, and never across two rows.
  bool packs(int v, const void* data, std::size_t item, int V) const {
    if (stride[v][0] != 1 || (rank > 1 && extent[0] % V != 0)) return false;
    for (int a = 1; a < rank; ++a)
      if (stride[v][a] % V != 0) return false;
    return (reinterpret_cast<std::uintptr_t>(data) + std::size_t(first[v]) * item) % (std::size_t(V) * item) == 0;
  }
};

// A walk of fewer than 2^31 places, as kernels take it.
template <int N> struct Lattice {
  int rank;
  Divisor extent[max_rank];
  Index stride[N][max_rank];
  explicit Lattice(const Walk<N>& w) : rank(w.rank) {
    for (int a = 0; a < max_rank; ++a) {
      extent[a] = a < rank ? Divisor(w.extent[a]) : Divisor();
      for (int v = 0; v < N; ++v) stride[v][a] = a < rank ? w.stride[v][a] : 0;
    }
  }
  // at[v] = elements from view v's first to place e in row-major order.  rank - 1 products for the axes, one a view and axis.
  SSPO_DEVICE void locate(std::uint32_t e, Index (&at)[N]) const {
    for (int v = 0; v < N; ++v) at[v] = 0;
    for (int a = 0; a < rank - 1; ++a) {
      const std::uint32_t q = extent[a].quotient(e), r = e - q * extent[a].d;
      for (int v = 0; v < N; ++v) at[v] += Index(r) * stride[v][a];
      e = q;
    }
    for (int v = 0; v < N; ++v) at[v] += Index(e) * stride[v][rank - 1];
  }
};

// a b, rounded before anything is added to it: what the CPU computes. (nvcc would fuse the two.)
template <class T> SSPO_DEVICE T product(T a, T b) {
#if defined(__CUDA_ARCH__)
  if constexpr (std::is_same_v<T, float>) return __fmul_rn(a, b);
  else return __dmul_rn(a, b);
#else
  return a * b;
#endif
}

// --- conversions: those of the CPU (src/cpu/elementwise.cpp), bit for bit but for the payload of a NaN

// f32 on the way to 16 bits. What does not fit is rounded to the neighbour with an odd last bit, so that the second rounding
// comes out as one from x would: never a tie that x was not.
SSPO_DEVICE float rounded_to_odd(double x) {
  const float f = float(x);
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(f);
  if (double(f) == x || (bits & 0x7f800000u) == 0x7f800000u || bits & 1u) return f;
  const std::uint32_t sign = x < 0 ? 0x80000000u : 0u, size = bits & 0x7fffffffu;
  const double size_of_f = f < 0 ? -double(f) : double(f), size_of_x = x < 0 ? -x : x;
  return std::bit_cast<float>(sign | (size_of_x > size_of_f ? size + 1 : size - 1));
}
SSPO_DEVICE float rounded_to_odd(std::int64_t x) {
  constexpr std::int64_t exact = std::int64_t(1) << 53;
  if (x & 0x3ff && (x >= exact || x <= -exact)) x = (x & ~std::int64_t(0x3ff)) | 0x400;
  return rounded_to_odd(double(x));
}

template <class T> inline constexpr bool is_16_bit_float = std::is_same_v<T, bf16> || std::is_same_v<T, f16>;

template <class T> using Sum = std::conditional_t<is_16_bit_float<T>, float, T>;  // the type in which elements of type T are summed

template <class To, class From> SSPO_DEVICE To convert(From x) {
  if constexpr (std::is_same_v<To, From>) return x;
  else if constexpr (is_16_bit_float<From>) return convert<To>(to_float(x));
  else if constexpr (is_16_bit_float<To> && std::is_same_v<From, float>) return To(x);
  else if constexpr (is_16_bit_float<To> && std::is_same_v<From, double>) return To(rounded_to_odd(x));
  else if constexpr (is_16_bit_float<To>) return To(rounded_to_odd(std::int64_t(x)));
  else if constexpr (std::is_same_v<To, bool>) return x != From(0);
  else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {  // towards zero, saturating; NaN: 0
    constexpr To least = std::numeric_limits<To>::min(), largest = std::numeric_limits<To>::max();
    const double v = double(x);
    if (v != v) return To(0);
    return v <= double(least) ? least : v >= double(largest) ? largest : To(v);
  } else return To(x);
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
