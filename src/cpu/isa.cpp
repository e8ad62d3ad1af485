#include "cpu/isa.hpp"

#include <cstdlib>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "sspo/base/error.hpp"

namespace sspo::cpu {
namespace {

constexpr std::string_view names[isa_count] = {"baseline", "avx2", "avx512", "avx512_bf16", "amx_bf16"};

// In a checking build the AVX-512 sets run lane by lane (avx512_emulated.hpp): where AVX2 is, and on request alone.
#if defined(SSPO_AVX512_IS_EMULATED)
constexpr bool avx512_emulated = true;
#else
constexpr bool avx512_emulated = false;
#endif

#if defined(__x86_64__)
// CPUID leaf 1: ECX bit 29. (clang 14's __builtin_cpu_supports does not know the name.)
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1);
}

// CPUID leaf 7: EDX bits 22 (AMX-BF16) and 24 (AMX's registers), which Linux lends to those who ask: they make a thread's saved state larger.
bool has_amx() {
#if defined(__linux__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 22 & 1) || !(d >> 24 & 1)) return false;
  constexpr long request_permission = 0x1023, tile_data = 18;
  static const bool granted = syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  return granted;
#else
  return false;
#endif
}
#endif

}  // namespace

bool isa_built(Isa isa) {
  switch (isa) {
    case Isa::baseline: return true;
    case Isa::avx2: return SSPO_HAS_avx2;
    case Isa::avx512: return SSPO_HAS_avx512;
    case Isa::avx512_bf16: return SSPO_HAS_avx512_bf16;
    case Isa::amx_bf16: return SSPO_HAS_amx_bf16;
  }
  return false;
}

bool isa_supported(Isa isa) {
  if (!isa_built(isa)) return false;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  switch (isa) {
    case Isa::baseline: return true;
    case Isa::avx2: return avx2;
    case Isa::avx512: return avx512_emulated ? avx2 : avx512;
    case Isa::avx512_bf16: return avx512_emulated ? avx2 : avx512 && __builtin_cpu_supports("avx512bf16");
    case Isa::amx_bf16: return avx512_emulated ? avx2 : avx512 && __builtin_cpu_supports("avx512bf16") && has_amx();
  }
#endif
  return isa == Isa::baseline;
}

Isa detect_isa() {
  for (int i = avx512_emulated ? int(Isa::avx2) : isa_count - 1; i > 0; --i)
    if (isa_supported(Isa(i))) return Isa(i);
  return Isa::baseline;
}

std::string_view isa_name(Isa isa) { return names[int(isa)]; }

Isa parse_isa(std::string_view name) {
  for (int i = 0; i < isa_count; ++i)
    if (names[i] == name) {
      if (isa_supported(Isa(i))) return Isa(i);
      fail({.op = "isa", .what = isa_built(Isa(i)) ? "this machine does not run the instruction set" : "this build left the instruction set out",
            .expected = "one up to " + std::string(isa_name(detect_isa())), .got = std::string(name), .hint = isa_built(Isa(i)) ? "" : "name it in the CMake option SSPO_ISAS"});
    }
  fail({.op = "isa", .what = "unknown instruction set", .expected = "baseline, avx2, avx512, avx512_bf16 or amx_bf16",
        .got = std::string(name), .hint = "unset SSPO_ISA to take the best one of this machine"});
}

Isa default_isa() {
  const char* forced = std::getenv("SSPO_ISA");
  return forced && *forced ? parse_isa(forced) : detect_isa();
}

}  // namespace sspo::cpu
