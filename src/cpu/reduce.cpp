#include "cpu/reduce.hpp"

namespace sspo::cpu {

namespace baseline { extern const ReduceKernels reduce_table; }
#if defined(SSPO_X86)
namespace avx2 { extern const ReduceKernels reduce_table; }
namespace avx512 { extern const ReduceKernels reduce_table; }
#endif

const ReduceKernels& reduce_kernels(Isa isa) {
  switch (isa) {
#if defined(SSPO_X86)
    case Isa::avx512_bf16:
    case Isa::avx512: return avx512::reduce_table;
    case Isa::avx2: return avx2::reduce_table;
#endif
    default: return baseline::reduce_table;
  }
}

}  // namespace sspo::cpu
