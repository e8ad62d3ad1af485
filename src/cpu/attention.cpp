#include "cpu/attention.hpp"

#include "cpu/dispatch.hpp"

namespace sspo::cpu {

SSPO_TABLE_PER_SET(AttentionKernels, attention_kernels, attention_table)

}  // namespace sspo::cpu
