// Packs: V neighbours moved together, by accesses of 4, 8 or 16 bytes (a longer pack by several of 16, a shorter one element by element).
//   T x[V];   read_pack(p, x);   write_pack(p, x);
//   const Pack<T, V> raw = load_pack<V>(p);   put_pack(q, raw);      // bits that wait in registers
#pragma once
#include <type_traits>

#include "device.cuh"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

template <int bytes> struct WordOf { using type = uint4; };
template <> struct WordOf<8> { using type = uint2; };
template <> struct WordOf<4> { using type = std::uint32_t; };

template <class T, int V> struct Pack {
  static constexpr int bytes = V * int(sizeof(T));
  static_assert(bytes <= 4 || bytes == 8 || bytes % 16 == 0, "whole accesses");
  using Word = std::conditional_t<(bytes < 4), T, typename WordOf<bytes>::type>;
  static constexpr int count = bytes / int(sizeof(Word));
  Word words[count];
};

template <class T> inline constexpr int wide_pack = 16 / int(sizeof(T));  // elements of 16 bytes

template <int V, class T> SSPO_DEVICE Pack<T, V> load_pack(const T* p) {
  using P = Pack<T, V>;
  P pack;
#pragma unroll
  for (int i = 0; i < P::count; ++i) {
    if constexpr (P::bytes < 4) pack.words[i] = p[i];
    else pack.words[i] = load(reinterpret_cast<const typename P::Word*>(p) + i);
  }
  return pack;
}
template <class T, int V> SSPO_DEVICE void put_pack(T* p, const Pack<T, V>& pack) {
  using P = Pack<T, V>;
#pragma unroll
  for (int i = 0; i < P::count; ++i) {
    if constexpr (P::bytes < 4) p[i] = pack.words[i];
    else store(reinterpret_cast<typename P::Word*>(p) + i, pack.words[i]);
  }
}
template <class T, int V> SSPO_DEVICE void read_pack(const T* p, T (&x)[V]) {
  const Pack<T, V> pack = load_pack<V>(p);
  memcpy(static_cast<void*>(x), pack.words, sizeof x);
}
template <class T, int V> SSPO_DEVICE void write_pack(T* p, const T (&x)[V]) {
  Pack<T, V> pack;
  memcpy(static_cast<void*>(pack.words), x, sizeof x);
  put_pack(p, pack);
}
// The same for packs of 32 bytes that lie side by side, lane after lane: two lanes write one pack together, so that an access of the
// warp fills whole sectors. Other packs as above. Needs the whole warp; `active`: has a pack to write.
template <class T, int V> SSPO_DEVICE void write_pack_by_pairs(T* p, const T (&x)[V], bool active) {
  if constexpr (Pack<T, V>::bytes == 32) {
    const bool odd = threadIdx.x % 2, active_beside = __shfl_xor_sync(0xffffffffu, int(active), 1) != 0;
    T kept[V / 2], other[V / 2];  // this lane's half of its own pack, and of its neighbour's
#pragma unroll
    for (int v = 0; v < V / 2; ++v) {
      kept[v] = odd ? x[V / 2 + v] : x[v];
      other[v] = __shfl_xor_sync(0xffffffffu, odd ? x[v] : x[V / 2 + v], 1);
    }
    T* const at = odd ? p + V / 2 : p;
    T* const beside = odd ? p - V / 2 : p + V;
#pragma unroll
    for (int turn = 0; turn < 2; ++turn) {  // the even lane's pack, then the odd one's
      const bool own = odd == (turn == 1);
      T half[V / 2];
#pragma unroll
      for (int v = 0; v < V / 2; ++v) half[v] = own ? kept[v] : other[v];
      if (own ? active : active_beside) write_pack(own ? at : beside, half);
    }
  } else if (active) {
    write_pack(p, x);
  }
}

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
