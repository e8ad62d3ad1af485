#include "cpu/norm.hpp"

#include "cpu/dispatch.hpp"

namespace sspo::cpu {

SSPO_TABLE_PER_SET(NormKernels, norm_kernels, norm_table)

}  // namespace sspo::cpu
