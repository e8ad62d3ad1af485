// The instruction sets a kernel is compiled for, and which one runs.
//
// Files in src/cpu/isa/ are compiled once per set, each time inside its own namespace (SSPO_ISA), so
// that no inline function compiled for AVX-512 can be picked by the linker for a machine without it.
#pragma once
#include <string_view>

namespace sspo::cpu {

enum class Isa { baseline, avx2, avx512, avx512_bf16, amx_bf16 };
inline constexpr int isa_count = 5;

Isa detect_isa();                      // the best set of this machine
bool isa_built(Isa);                   // is it among the sets this library was compiled for (CMake: SSPO_ISAS)?
bool isa_supported(Isa);               // is it, and does this machine run it?
std::string_view isa_name(Isa);
Isa parse_isa(std::string_view name);  // throws Error naming the valid ones
Isa default_isa();                     // SSPO_ISA from the environment, else detect_isa()

}  // namespace sspo::cpu
