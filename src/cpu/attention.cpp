#include "cpu/attention.hpp"

#include "cpu/dispatch.hpp"

namespace sspo::cpu {

SSPO_TABLE_PER_SET(AttentionKernels, plain_attention_kernels, attention_table)
SSPO_IF_AMX_BF16(SSPO_DECLARE_TABLE(amx_bf16, AttentionForward, attention_forward_bf16))

const AttentionKernels& attention_kernels(Isa isa) {
  const AttentionKernels& plain = plain_attention_kernels(isa);
#if SSPO_HAS_amx_bf16
  if (isa >= Isa::amx_bf16) {
    static const AttentionKernels with_tiles = {plain.f32, plain.f64, {amx_bf16::attention_forward_bf16, plain.bf16.backward}};
    return with_tiles;
  }
#endif
  return plain;
}

}  // namespace sspo::cpu
