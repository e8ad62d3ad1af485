// Device words as the simulator has them. A kernel's thread is a fiber: it runs until it meets a barrier or an operation of its
// whole warp, then another runs. What a word does with a warp or with memory is in warp.cpp and memory.cpp.
#pragma once
#include <cmath>
#include <type_traits>

#include "vector_types.hpp"

#if defined(__clang__)
#define SSPO_SIM_UNSEEN __attribute__((no_sanitize("thread")))  // the checker does not see these accesses
#define SSPO_SIM_APART __attribute__((noinline, nomerge))       // two calls stay two: a divergent barrier is told by its place
#else
#define SSPO_SIM_UNSEEN __attribute__((no_sanitize_thread))
#define SSPO_SIM_APART __attribute__((noinline))
#endif
#define SSPO_DEVICE inline
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define SSPO_SHARED(T, name, ...)                                                                          \
  struct name##_tag;                                                                                       \
  auto& name = ::sspo::cuda::sim::shared_array<std::type_identity_t<T __VA_ARGS__>, name##_tag>()

namespace sspo::cuda::inline sim {

// --- what the scheduler keeps for the thread that runs now
struct Thread {
  uint3 index;    // threadIdx
  unsigned lane;  // of its warp
};
struct Block {
  dim3 grid, block;  // gridDim, blockDim
  uint3 index;       // blockIdx
  unsigned char* dynamic;
  std::size_t dynamic_bytes;
  std::uint64_t serial;  // of the block, over all launches
};
struct SharedArray {  // where a static array lies in the block that runs now
  std::uint64_t serial;
  void* place;
};
extern Thread* self;
extern Block here;

void barrier(const void* where);                                    // __syncthreads
using Together = void (*)(unsigned mask, void** lanes);             // an operation of a warp: lanes[i] is what lane i brought
void together(unsigned mask, Together act, void* mine, const char* name, const void* where);
void touch(const void* p, unsigned bytes, int kind, const void* where);  // kind: 1 write, 2 atomic; tells the checker
void place_shared(SharedArray&, std::size_t bytes, std::size_t align);
void fence();

#define SSPO_SIM_HERE __builtin_return_address(0)

template <class T> T* dynamic_shared() { return reinterpret_cast<T*>(here.dynamic); }
template <class T, class Tag> SSPO_SIM_UNSEEN T& shared_array() {
  static SharedArray array;
  if (array.serial != here.serial) place_shared(array, sizeof(T), alignof(T) < 16 ? 16 : alignof(T));
  return *static_cast<T*>(array.place);
}

// --- warps
struct Shuffle {
  std::uint64_t in, out;
  int lane, width, way;  // way: 0 a lane, 1 up, 2 down, 3 xor
  unsigned mask;
};
void shuffle(unsigned mask, void** lanes);
template <class T> [[gnu::always_inline]] inline T shuffled(unsigned mask, T x, int lane, int width, int way, const char* name) {
  static_assert(sizeof(T) <= 8, "shuffles move 4 or 8 bytes");
  Shuffle s{0, 0, lane, width, way, mask};
  std::memcpy(&s.in, &x, sizeof x);
  together(mask, shuffle, &s, name, nullptr);
  std::memcpy(&x, &s.out, sizeof x);
  return x;
}
struct Vote {
  bool yes;
  unsigned who;
};
void vote(unsigned mask, void** lanes);
void meet(unsigned mask, void** lanes);  // __syncwarp: orders memory, does nothing else

// --- tensor cores and their loads
struct Mma {
  float* d;
  const std::uint32_t *a, *b;
  const float* c;
};
void mma_bf16(unsigned mask, void** lanes);
void mma_f16(unsigned mask, void** lanes);
void mma_tf32(unsigned mask, void** lanes);
void load_matrices(std::uint32_t* r, const void* row, bool trans, const void* where);

inline void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], const float (&c)[4], bf16) {
  Mma m{d, a, b, c};
  together(~0u, mma_bf16, &m, "mma.m16n8k16.bf16", nullptr);
}
inline void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], const float (&c)[4], f16) {
  Mma m{d, a, b, c};
  together(~0u, mma_f16, &m, "mma.m16n8k16.f16", nullptr);
}
inline void mma_m16n8k8_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], const float (&c)[4]) {
  Mma m{d, a, b, c};
  together(~0u, mma_tf32, &m, "mma.m16n8k8.tf32", nullptr);
}
[[gnu::noinline]] inline void ldmatrix_x4(std::uint32_t (&r)[4], const void* row) { load_matrices(r, row, false, SSPO_SIM_HERE); }
[[gnu::noinline]] inline void ldmatrix_x4_trans(std::uint32_t (&r)[4], const void* row) { load_matrices(r, row, true, SSPO_SIM_HERE); }
inline std::uint32_t to_tf32(float x) {  // to nearest, ties away from zero, 10 bits of fraction
  std::uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & 0xffffe000u;
}

inline std::uint32_t pack_bf16(float low, float high) { return bf16(low).bits | std::uint32_t(bf16(high).bits) << 16; }

// --- memory
void copy_later(void* to, const void* from, bool valid, const void* where);
[[gnu::noinline]] inline void cp_async16(void* to, const void* from, bool valid) { copy_later(to, from, valid, SSPO_SIM_HERE); }
void cp_async_commit();
void wait_copies(int still_in_flight);
template <int N> void cp_async_wait() { wait_copies(N); }

// One access of the whole width: what the compiler's instrumentation then sees is one access, too.
template <std::size_t bytes> struct Wide;
template <> struct Wide<16> { typedef int type __attribute__((vector_size(16), may_alias)); };
template <> struct Wide<8> { typedef int type __attribute__((vector_size(8), may_alias)); };
template <> struct Wide<4> { typedef int type __attribute__((may_alias)); };
// A misaligned one is the checker's to report, not this processor's to fault on.
template <class V> bool misaligned(const V* p) { return __builtin_expect(reinterpret_cast<std::uintptr_t>(p) % sizeof(V) != 0, 0); }
[[gnu::noinline]] inline void touch_misaligned(const void* p, unsigned bytes, int kind) { touch(p, bytes, kind, SSPO_SIM_HERE); }
template <class V> [[gnu::always_inline]] inline V load(const V* p) {
  if (misaligned(p)) {
    touch_misaligned(p, sizeof(V), 0);
    return V{};
  }
  const typename Wide<sizeof(V)>::type bits = *reinterpret_cast<const typename Wide<sizeof(V)>::type*>(p);
  V v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}
template <class V> [[gnu::always_inline]] inline void store(V* p, V v) {
  if (misaligned(p)) return touch_misaligned(p, sizeof(V), 1);
  typename Wide<sizeof(V)>::type bits;
  std::memcpy(&bits, &v, sizeof v);
  *reinterpret_cast<typename Wide<sizeof(V)>::type*>(p) = bits;
}

template <class T, class F> SSPO_SIM_UNSEEN T atomically(T* p, const void* where, F next) {
  touch(p, sizeof(T), 1 | 2, where);
  const T old = *p;
  *p = next(old);
  return old;
}

}  // namespace sspo::cuda::inline sim

#define threadIdx (::sspo::cuda::sim::self->index)
#define blockIdx (::sspo::cuda::sim::here.index)
#define blockDim (::sspo::cuda::sim::here.block)
#define gridDim (::sspo::cuda::sim::here.grid)

SSPO_SIM_APART inline void __syncthreads() { sspo::cuda::sim::barrier(SSPO_SIM_HERE); }
SSPO_SIM_APART inline void __syncwarp(unsigned mask = ~0u) { sspo::cuda::sim::together(mask, sspo::cuda::sim::meet, nullptr, "__syncwarp", SSPO_SIM_HERE); }
inline void __threadfence() { sspo::cuda::sim::fence(); }
template <class T> T __shfl_sync(unsigned mask, T x, int lane, int width = 32) { return sspo::cuda::sim::shuffled(mask, x, lane, width, 0, "__shfl_sync"); }
template <class T> T __shfl_up_sync(unsigned mask, T x, unsigned by, int width = 32) { return sspo::cuda::sim::shuffled(mask, x, int(by), width, 1, "__shfl_up_sync"); }
template <class T> T __shfl_down_sync(unsigned mask, T x, unsigned by, int width = 32) { return sspo::cuda::sim::shuffled(mask, x, int(by), width, 2, "__shfl_down_sync"); }
template <class T> T __shfl_xor_sync(unsigned mask, T x, int bits, int width = 32) { return sspo::cuda::sim::shuffled(mask, x, bits, width, 3, "__shfl_xor_sync"); }
inline unsigned __ballot_sync(unsigned mask, int yes) {
  sspo::cuda::sim::Vote v{yes != 0, 0};
  sspo::cuda::sim::together(mask, sspo::cuda::sim::vote, &v, "__ballot_sync", nullptr);
  return v.who;
}
inline int __any_sync(unsigned mask, int yes) { return __ballot_sync(mask, yes) != 0; }
inline int __all_sync(unsigned mask, int yes) { return !__any_sync(mask, !yes); }  // lanes that have ended have no vote
template <class T> [[gnu::noinline]] T atomicAdd(T* p, T x) { return sspo::cuda::sim::atomically(p, SSPO_SIM_HERE, [&](T old) { return T(old + x); }); }
template <class T> [[gnu::noinline]] T atomicMax(T* p, T x) { return sspo::cuda::sim::atomically(p, SSPO_SIM_HERE, [&](T old) { return old > x ? old : x; }); }
template <class T> [[gnu::noinline]] T atomicMin(T* p, T x) { return sspo::cuda::sim::atomically(p, SSPO_SIM_HERE, [&](T old) { return old < x ? old : x; }); }
template <class T> [[gnu::noinline]] T atomicExch(T* p, T x) { return sspo::cuda::sim::atomically(p, SSPO_SIM_HERE, [&](T) { return x; }); }
template <class T> [[gnu::noinline]] T atomicCAS(T* p, T was, T x) { return sspo::cuda::sim::atomically(p, SSPO_SIM_HERE, [&](T old) { return old == was ? x : old; }); }
template <class T> T __ldg(const T* p) { return *p; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
