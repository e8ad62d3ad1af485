// From one table of kernels per instruction set to the one that runs.
//
// SSPO_TABLE_PER_SET(Kernels, name, table) defines  const Kernels& name(Isa):  the object `table` of the namespace of
// the widest set that was compiled and is not above the Isa. SSPO_MATRIX_TABLE_PER_SET is for the families whose
// bf16 kernels are compiled for avx512_bf16 and amx_bf16 too. Which sets were compiled: SSPO_HAS_*, from cmake/SspoIsa.cmake.
#pragma once
#include "cpu/isa.hpp"

#if SSPO_HAS_avx2
#define SSPO_IF_AVX2(...) __VA_ARGS__
#else
#define SSPO_IF_AVX2(...)
#endif
#if SSPO_HAS_avx512
#define SSPO_IF_AVX512(...) __VA_ARGS__
#else
#define SSPO_IF_AVX512(...)
#endif
#if SSPO_HAS_avx512_bf16
#define SSPO_IF_AVX512_BF16(...) __VA_ARGS__
#else
#define SSPO_IF_AVX512_BF16(...)
#endif
#if SSPO_HAS_amx_bf16
#define SSPO_IF_AMX_BF16(...) __VA_ARGS__
#else
#define SSPO_IF_AMX_BF16(...)
#endif

#define SSPO_DECLARE_TABLE(set, Kernels, table) namespace set { extern const Kernels table; }
#define SSPO_TAKE_TABLE(set, table) if (isa >= Isa::set) return set::table;

#define SSPO_TABLE_PER_SET(Kernels, name, table)              \
  SSPO_DECLARE_TABLE(baseline, Kernels, table)                \
  SSPO_IF_AVX2(SSPO_DECLARE_TABLE(avx2, Kernels, table))      \
  SSPO_IF_AVX512(SSPO_DECLARE_TABLE(avx512, Kernels, table))  \
  const Kernels& name([[maybe_unused]] Isa isa) {             \
    SSPO_IF_AVX512(SSPO_TAKE_TABLE(avx512, table))            \
    SSPO_IF_AVX2(SSPO_TAKE_TABLE(avx2, table))                \
    return baseline::table;                                   \
  }

namespace sspo::cpu {
template <class Kernels> Kernels with_bf16_of(Kernels kernels, const Kernels& wider) {
  kernels.bf16 = wider.bf16, kernels.bf16_f32 = wider.bf16_f32;
  return kernels;
}
}  // namespace sspo::cpu

#define SSPO_TAKE_BF16_TABLE(set, name, table)                                        \
  if (isa >= Isa::set) {                                                              \
    static const Kernels_##name both = with_bf16_of(name##_but_bf16(isa), set::table); \
    return both;                                                                      \
  }

#define SSPO_MATRIX_TABLE_PER_SET(Kernels, name, table)                      \
  SSPO_TABLE_PER_SET(Kernels, name##_but_bf16, table)                        \
  SSPO_IF_AVX512_BF16(SSPO_DECLARE_TABLE(avx512_bf16, Kernels, table))       \
  SSPO_IF_AMX_BF16(SSPO_DECLARE_TABLE(amx_bf16, Kernels, table))             \
  using Kernels_##name = Kernels;                                            \
  const Kernels& name(Isa isa) {                                             \
    SSPO_IF_AMX_BF16(SSPO_TAKE_BF16_TABLE(amx_bf16, name, table))            \
    SSPO_IF_AVX512_BF16(SSPO_TAKE_BF16_TABLE(avx512_bf16, name, table))      \
    return name##_but_bf16(isa);                                             \
  }
