#include "cpu/gemm.hpp"

namespace sspo::cpu {

namespace baseline { extern const GemmKernels gemm_table; }
#if SSPO_X86
namespace avx2 { extern const GemmKernels gemm_table; }
namespace avx512 { extern const GemmKernels gemm_table; }
namespace avx512_bf16 { extern const GemmKernels gemm_table; }
#endif

const GemmKernels& gemm_kernels(Isa isa) {
  switch (isa) {
#if SSPO_X86
    case Isa::avx512_bf16: return avx512_bf16::gemm_table;
    case Isa::avx512: return avx512::gemm_table;
    case Isa::avx2: return avx2::gemm_table;
#endif
    default: return baseline::gemm_table;
  }
}

}  // namespace sspo::cpu
