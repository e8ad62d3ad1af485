#include "cpu/conv.hpp"

namespace sspo::cpu {

namespace baseline { extern const ConvKernels conv_table; }
#if SSPO_X86
namespace avx2 { extern const ConvKernels conv_table; }
namespace avx512 { extern const ConvKernels conv_table; }
namespace avx512_bf16 { extern const ConvKernels conv_table; }
#endif

const ConvKernels& conv_kernels(Isa isa) {
  switch (isa) {
#if SSPO_X86
    case Isa::avx512_bf16: return avx512_bf16::conv_table;
    case Isa::avx512: return avx512::conv_table;
    case Isa::avx2: return avx2::conv_table;
#endif
    default: return baseline::conv_table;
  }
}

}  // namespace sspo::cpu
