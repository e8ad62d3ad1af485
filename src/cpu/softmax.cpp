#include "cpu/softmax.hpp"

namespace sspo::cpu {

namespace baseline { extern const SoftmaxKernels softmax_table; }
#if defined(SSPO_X86)
namespace avx2 { extern const SoftmaxKernels softmax_table; }
namespace avx512 { extern const SoftmaxKernels softmax_table; }
#endif

const SoftmaxKernels& softmax_kernels(Isa isa) {
  switch (isa) {
#if defined(SSPO_X86)
    case Isa::avx512_bf16:
    case Isa::avx512: return avx512::softmax_table;
    case Isa::avx2: return avx2::softmax_table;
#endif
    default: return baseline::softmax_table;
  }
}

}  // namespace sspo::cpu
