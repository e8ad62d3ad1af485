#include "cpu/geglu.hpp"

namespace sspo::cpu {

namespace baseline { extern const GegluKernels geglu_table; }
#if defined(SSPO_X86)
namespace avx2 { extern const GegluKernels geglu_table; }
namespace avx512 { extern const GegluKernels geglu_table; }
#endif

const GegluKernels& geglu_kernels(Isa isa) {
  switch (isa) {
#if defined(SSPO_X86)
    case Isa::avx512_bf16:
    case Isa::avx512: return avx512::geglu_table;
    case Isa::avx2: return avx2::geglu_table;
#endif
    default: return baseline::geglu_table;
  }
}

}  // namespace sspo::cpu
