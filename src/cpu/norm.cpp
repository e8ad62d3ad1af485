#include "cpu/norm.hpp"

namespace sspo::cpu {

namespace baseline { extern const NormKernels norm_table; }
#if defined(SSPO_X86)
namespace avx2 { extern const NormKernels norm_table; }
namespace avx512 { extern const NormKernels norm_table; }
#endif

const NormKernels& norm_kernels(Isa isa) {
  switch (isa) {
#if defined(SSPO_X86)
    case Isa::avx512_bf16:
    case Isa::avx512: return avx512::norm_table;
    case Isa::avx2: return avx2::norm_table;
#endif
    default: return baseline::norm_table;
  }
}

}  // namespace sspo::cpu
