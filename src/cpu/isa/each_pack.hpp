// Loops over n elements in packs, the rest of the last pack included: one body for both.
//   each_pack<C>(n, [&](Index i, auto lanes) { store(load<C>(x + i, lanes) * a, y + i, lanes); });
// lanes is Full or Part; missing lanes load as 0. Sums over lanes must drop them: only(v, lanes).
#pragma once
#include <utility>

#include "cpu/simd.hpp"

namespace sspo::cpu::SSPO_ISA {

struct Full {};
struct Part { Index n; };  // the first n lanes

template <class C, class F>
inline void each_pack(Index n, F&& body) {
  constexpr Index size = Pack<C>::size;
  Index i = 0;
  for (; i + size <= n; i += size) body(i, Full{});
  if (i < n) body(i, Part{n - i});
}

// The same with body(i, lanes, k), k a constant in [0, N) that names one of N accumulators: sums in N
// independent chains, where one chain would wait for its own additions.
template <class C, int N, class F>
inline void each_pack_chained(Index n, F&& body) {
  constexpr Index size = Pack<C>::size;
  Index i = 0;
  for (; i + N * size <= n; i += N * size)
    [&]<int... k>(std::integer_sequence<int, k...>) {
      (body(i + k * size, Full{}, std::integral_constant<int, k>{}), ...);
    }(std::make_integer_sequence<int, N>{});
  each_pack<C>(n - i, [&](Index j, auto lanes) { body(i + j, lanes, std::integral_constant<int, 0>{}); });
}

template <class C, class T> inline Pack<C> load(const T* p, Full) { return load_as<C>(p); }
template <class C, class T> inline Pack<C> load(const T* p, Part part) { return load_as_n<C>(p, part.n); }
template <class C, class T> inline void store(Pack<C> x, T* p, Full) { store_as(x, p); }
template <class C, class T> inline void store(Pack<C> x, T* p, Part part) { store_as_n(x, p, part.n); }

template <class C> inline Pack<C> only(Pack<C> x, Full, Pack<C> = C(0)) { return x; }
template <class C> inline Pack<C> only(Pack<C> x, Part part, Pack<C> missing = C(0)) {
  return select<C>(Pack<C>::first_lanes(part.n), x, missing);
}

}  // namespace sspo::cpu::SSPO_ISA
