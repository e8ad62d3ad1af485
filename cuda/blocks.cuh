// What the kernels that stream through memory share: packs of numbers, folds over a warp or a block in a fixed order, rows that
// a team of threads keeps in registers.
//   const Pack<T, V> raw = load_pack<V>(p);   Compute<T> x[V];   unpack(raw, x);   store_pack(p, x);
//   const double sum = team_fold<TEAM>(mine, Add{});                 // TEAM 32: a warp; more: the block
//   visit_floats("softmax", dtype, [&]<class T>(std::type_identity<T>) { ... });
#pragma once
#include <string>
#include <type_traits>

#include "packs.cuh"
#include "runtime.hpp"
#include "sspo/base/dtype.hpp"
#include "sspo/base/error.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

// --- numbers: stored as T, computed with as Compute<T>
template <class T> struct ComputeOf { using type = T; };
template <> struct ComputeOf<bf16> { using type = float; };
template <class T> using Compute = typename ComputeOf<T>::type;

SSPO_HD inline float value(bf16 x) { return to_float(x); }
SSPO_HD inline float value(float x) { return x; }
SSPO_HD inline double value(double x) { return x; }
SSPO_HD inline std::int64_t value(std::int64_t x) { return x; }
template <class T, class V> SSPO_HD inline T rounded(V x) {
  if constexpr (std::is_same_v<T, bf16>) return T(float(x));
  else return T(x);
}

// --- packs of numbers: stored as T, computed with as Compute<T>
template <class T, int V> SSPO_DEVICE void unpack(const Pack<T, V>& from, Compute<T> (&to)[V]) {
  T parts[V];
  memcpy(static_cast<void*>(parts), from.words, sizeof parts);
#pragma unroll
  for (int v = 0; v < V; ++v) to[v] = value(parts[v]);
}
template <class T, class C, int V> SSPO_DEVICE void store_pack(T* p, const C (&from)[V]) {
  T parts[V];
#pragma unroll
  for (int v = 0; v < V; ++v) parts[v] = rounded<T>(from[v]);
  write_pack(p, parts);
}
// raw[u] = the pack at from + u stride, for u < rows: loads that are in flight together.
template <int U, int V, class T> SSPO_DEVICE void load_rows(Pack<T, V> (&raw)[U], const T* from, Index stride, int rows) {
#pragma unroll
  for (int u = 0; u < U; ++u)
    if (u < rows) raw[u] = load_pack<V>(from + u * stride);
}

// Whether rows of `row` elements can be read in packs of 16 bytes, wherever the pointers point.
template <class T, class... P> bool wide_rows(Index row, const P*... p) {
  return row % wide_pack<T> == 0 && ((reinterpret_cast<std::uintptr_t>(p) % 16 == 0) && ...);
}

// Whether they should: not short rows whose ends fill no sectors, which warps ask for twice.
inline bool worth_packs(std::size_t row_bytes) { return row_bytes % 32 == 0 || row_bytes >= 384; }

// --- folds. The order is fixed by the size of the team.
struct Add {
  template <class T> SSPO_DEVICE T operator()(T a, T b) const { return a + b; }
};
template <class T> SSPO_DEVICE T from_lane_xor(T x, int bits) {
  if constexpr (sizeof(T) <= 8) {
    return __shfl_xor_sync(whole_warp, x, bits);
  } else {
    std::uint64_t words[sizeof(T) / 8];
    memcpy(words, &x, sizeof x);
    for (std::uint64_t& w : words) w = __shfl_xor_sync(whole_warp, w, bits);
    memcpy(&x, words, sizeof x);
    return x;
  }
}
// Over `lanes` neighbours, a power of 2: each gets the same.
template <class T, class F> SSPO_DEVICE T warp_fold(T x, F f, int lanes = 32) {
  for (int step = lanes / 2; step > 0; step /= 2) x = f(x, from_lane_xor(x, step));
  return x;
}
// x[n] folded over the team: every thread gets the same. A team of 32 is a warp; a larger one the block, which must come along whole.
template <int TEAM, int N, class T, class F> SSPO_DEVICE void team_fold(T (&x)[N], F f) {
#pragma unroll
  for (int n = 0; n < N; ++n) x[n] = warp_fold(x[n], f);
  if constexpr (TEAM > 32) {
    SSPO_SHARED(T, parts, [N][TEAM / 32]);
    const int warp = int(threadIdx.x) / 32, warps = int(blockDim.x) / 32;
    __syncthreads();  // an earlier use of parts is over
#pragma unroll
    for (int n = 0; n < N; ++n)
      if (lane_id() == 0) parts[n][warp] = x[n];
    __syncthreads();
#pragma unroll
    for (int n = 0; n < N; ++n) {
      x[n] = parts[n][0];
      for (int w = 1; w < warps; ++w) x[n] = f(x[n], parts[n][w]);
    }
  }
}
template <int TEAM, class T, class F> SSPO_DEVICE T team_fold(T x, F f) {
  T one[1] = {x};
  team_fold<TEAM>(one, f);
  return one[0];
}

// --- rows: a row of `packs` packs, read by a team. With K > 0 each thread keeps its packs, at most K; with K = 0 they are read anew.
// Members count from 0, or, with K > 0, from where the lanes' accesses begin at a sector: a few below 0.
template <class T, int V, int TEAM, int K> struct Row {
  const T* x;
  Index packs;
  int member;  // of the team
  Pack<T, V> kept[K > 0 ? K : 1];

  SSPO_DEVICE Row(const T* x_, Index packs_, int member_) : x(x_), packs(packs_), member(member_) {
    if constexpr (K > 0) {
#pragma unroll
      for (int k = 0; k < K; ++k)
        if (has(k)) kept[k] = load_pack<V>(x + Index(member + TEAM * k) * V);
    }
  }
  SSPO_DEVICE bool has(int k) const { return unsigned(member + TEAM * k) < unsigned(packs); }
  SSPO_DEVICE Compute<T> first() const {  // the row's first number: asked by a whole warp, in larger teams by member 0
    if constexpr (K == 0) return value(x[0]);
    Compute<T> numbers[V];
    unpack(kept[0], numbers);
    return TEAM == 32 ? __shfl_sync(whole_warp, numbers[0], lane_id() - member) : numbers[0];
  }
  // body(first element, numbers) for each pack of this thread
  template <class F> SSPO_DEVICE void each(F body) const {
    if constexpr (K > 0) {
#pragma unroll
      for (int k = 0; k < K; ++k)
        if (has(k)) {
          Compute<T> numbers[V];
          unpack(kept[k], numbers);
          body(Index(member + TEAM * k) * V, numbers);
        }
    } else {
#pragma unroll 4
      for (Index i = member; i < packs; i += TEAM) {
        Compute<T> numbers[V];
        unpack(load_pack<V>(x + i * V), numbers);
        body(i * V, numbers);
      }
    }
  }
};
// to[i] = from[i], i < n, by the whole block, where one of them lies in shared memory: how rows that no pack fits go to and fro side by side.
// `ahead`: numbers between the last sector's start and the place in global memory.
template <class T> SSPO_DEVICE void copy_span(T* to, const T* from, int n, int ahead) {
  for (int first = int(threadIdx.x) / 32 * 32 - ahead; first < n; first += int(blockDim.x)) {
    if (const int i = first + lane_id(); i >= 0 && i < n) to[i] = from[i];
    __syncwarp();
  }
}

// body(first element, numbers of a, numbers of b) for each pack of this thread; a and b are rows of one shape.
template <class T, int V, int TEAM, int K, class F>
SSPO_DEVICE void each_of_two(const Row<T, V, TEAM, K>& a, const Row<T, V, TEAM, K>& b, F body) {
  Compute<T> x[V], y[V];
  if constexpr (K > 0) {
#pragma unroll
    for (int k = 0; k < K; ++k)
      if (const int i = a.member + TEAM * k; i < a.packs) {
        unpack(a.kept[k], x);
        unpack(b.kept[k], y);
        body(Index(i) * V, x, y);
      }
  } else {
#pragma unroll 2
    for (Index i = a.member; i < a.packs; i += TEAM) {
      unpack(load_pack<V>(a.x + i * V), x);
      unpack(load_pack<V>(b.x + i * V), y);
      body(i * V, x, y);
    }
  }
}

// --- host
inline Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }
inline Extent blocks_along_x(Index n) { return {unsigned(n)}; }

template <class F> void visit_floats(const char* op, DType t, F f) {
  if (t == DType::f32) return f(std::type_identity<float>{});
  if (t == DType::f64) return f(std::type_identity<double>{});
  if (t == DType::bf16) return f(std::type_identity<bf16>{});
  fail({.op = op, .what = "no kernel for this dtype", .expected = "f32, f64 or bf16",
        .got = std::string(name_of(t)), .hint = "convert with to(x, dtype)"});
}
// f(V) with V elements a pack: 16 bytes where rows allow it, else 1.
template <class T, class F> void visit_pack(bool wide, F f) {
  if (wide) f(std::integral_constant<int, wide_pack<T>>{});
  else f(std::integral_constant<int, 1>{});
}

// f(kind, grid) with the kernel of rows by dtype, alignment and length: kind's Type, V, TEAM and K; blocks have `row_threads`.
inline constexpr int row_threads = 256;
inline constexpr int strip_rows = 4, strip_threads = 512;  // blocks that take rows by strips: rows at a time, most threads, one pack of a row each
template <class T, int V_, int TEAM_, int K_> struct RowKind {
  using Type = T;
  static constexpr int V = V_, TEAM = TEAM_, K = K_;
};
template <class F, class... P> void visit_row_kernels(const char* op, DType dtype, Index rows, Index cols, F f, const P*... pointers) {
  visit_floats(op, dtype, [&]<class T>(std::type_identity<T>) {
    visit_pack<T>(wide_rows<T>(cols, pointers...), [&](auto pack) {
      constexpr int V = decltype(pack)::value;
      const Index packs = cols / V;
      const Extent warps = blocks_along_x(ceil_div(rows, row_threads / 32)), blocks = blocks_along_x(rows);
      if (packs <= 32 * 2) return f(RowKind<T, V, 32, 2>{}, warps);
      if (packs <= 32 * 8) return f(RowKind<T, V, 32, 8>{}, warps);
      if (packs <= row_threads * 8) return f(RowKind<T, V, row_threads, 8>{}, blocks);
      return f(RowKind<T, V, row_threads, 0>{}, blocks);
    });
  });
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
