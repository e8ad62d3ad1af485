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
unsigned char __tsan_atomic8_load(const volatile unsigned char* p, int) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }  // guards of statics
void __tsan_read_range(void* p, unsigned long n) {
  for (unsigned long i = 0; i < n; ++i) sspo::cuda::sim::touch(static_cast<char*>(p) + i, 1, 0, __builtin_return_address(0));
}
void __tsan_write_range(void* p, unsigned long n) {
  for (unsigned long i = 0; i < n; ++i) sspo::cuda::sim::touch(static_cast<char*>(p) + i, 1, 1, __builtin_return_address(0));
}
}
