// The calls that the compiler puts at every memory access of a file built with -fsanitize=thread. libtsan is not linked: these take
// its place and tell the checker.
#include "../device.cuh"

#define SSPO_ACCESS(name, bytes, kind) \
  extern "C" void name(void* p) { sspo::cuda::sim::touch(p, bytes, kind, __builtin_return_address(0)); }
#define SSPO_BOTH(infix, bytes) SSPO_ACCESS(__tsan_##infix##read##bytes, bytes, 0) SSPO_ACCESS(__tsan_##infix##write##bytes, bytes, 1)
SSPO_BOTH(, 1) SSPO_BOTH(, 2) SSPO_BOTH(, 4) SSPO_BOTH(, 8) SSPO_BOTH(, 16)
SSPO_BOTH(unaligned_, 2) SSPO_BOTH(unaligned_, 4) SSPO_BOTH(unaligned_, 8) SSPO_BOTH(unaligned_, 16)
SSPO_BOTH(volatile_, 1) SSPO_BOTH(volatile_, 2) SSPO_BOTH(volatile_, 4) SSPO_BOTH(volatile_, 8) SSPO_BOTH(volatile_, 16)

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_read_range(void* p, unsigned long n) {
  for (unsigned long i = 0; i < n; ++i) sspo::cuda::sim::touch(static_cast<char*>(p) + i, 1, 0, __builtin_return_address(0));
}
void __tsan_write_range(void* p, unsigned long n) {
  for (unsigned long i = 0; i < n; ++i) sspo::cuda::sim::touch(static_cast<char*>(p) + i, 1, 1, __builtin_return_address(0));
}
}

// std::atomic and guards of statics are the host's: plain atomics of the strongest order, no accesses of a kernel.
#define SSPO_FETCH(bits, T, what) \
  extern "C" T __tsan_atomic##bits##_fetch_##what(volatile T* p, T x, int) { return __atomic_fetch_##what(p, x, __ATOMIC_SEQ_CST); }
#define SSPO_ATOMIC(bits, T)                                                                                                                  \
  extern "C" T __tsan_atomic##bits##_load(const volatile T* p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }                          \
  extern "C" void __tsan_atomic##bits##_store(volatile T* p, T x, int) { __atomic_store_n(p, x, __ATOMIC_SEQ_CST); }                          \
  extern "C" T __tsan_atomic##bits##_exchange(volatile T* p, T x, int) { return __atomic_exchange_n(p, x, __ATOMIC_SEQ_CST); }                \
  extern "C" int __tsan_atomic##bits##_compare_exchange_strong(volatile T* p, T* was, T x, int, int) {                                        \
    return __atomic_compare_exchange_n(p, was, x, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                                                 \
  }                                                                                                                                           \
  extern "C" int __tsan_atomic##bits##_compare_exchange_weak(volatile T* p, T* was, T x, int, int) {                                          \
    return __atomic_compare_exchange_n(p, was, x, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                                                  \
  }                                                                                                                                           \
  extern "C" T __tsan_atomic##bits##_compare_exchange_val(volatile T* p, T was, T x, int, int) {                                              \
    __atomic_compare_exchange_n(p, &was, x, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                                                       \
    return was;                                                                                                                               \
  }                                                                                                                                           \
  SSPO_FETCH(bits, T, add) SSPO_FETCH(bits, T, sub) SSPO_FETCH(bits, T, and) SSPO_FETCH(bits, T, or) SSPO_FETCH(bits, T, xor) SSPO_FETCH(bits, T, nand)
SSPO_ATOMIC(8, unsigned char) SSPO_ATOMIC(16, unsigned short) SSPO_ATOMIC(32, unsigned) SSPO_ATOMIC(64, unsigned long)
extern "C" void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
extern "C" void __tsan_atomic_signal_fence(int) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }
