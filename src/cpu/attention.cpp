#include "cpu/attention.hpp"

namespace sspo::cpu {

namespace baseline { extern const AttentionKernels attention_table; }
#if SSPO_X86
namespace avx2 { extern const AttentionKernels attention_table; }
namespace avx512 { extern const AttentionKernels attention_table; }
#endif

const AttentionKernels& attention_kernels(Isa isa) {
  switch (isa) {
#if SSPO_X86
    case Isa::avx512_bf16:
    case Isa::avx512: return avx512::attention_table;
    case Isa::avx2: return avx2::attention_table;
#endif
    default: return baseline::attention_table;
  }
}

}  // namespace sspo::cpu
