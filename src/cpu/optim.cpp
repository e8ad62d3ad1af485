#include "cpu/optim.hpp"

namespace sspo::cpu {

namespace baseline { extern const OptimKernels optim_table; }
#if defined(SSPO_X86)
namespace avx2 { extern const OptimKernels optim_table; }
namespace avx512 { extern const OptimKernels optim_table; }
#endif

const OptimKernels& optim_kernels(Isa isa) {
  switch (isa) {
#if defined(SSPO_X86)
    case Isa::avx512_bf16:
    case Isa::avx512: return avx512::optim_table;
    case Isa::avx2: return avx2::optim_table;
#endif
    default: return baseline::optim_table;
  }
}

}  // namespace sspo::cpu
