#include "cpu/conv.hpp"

#include "cpu/dispatch.hpp"

namespace sspo::cpu {

SSPO_MATRIX_TABLE_PER_SET(ConvKernels, conv_kernels, conv_table)

}  // namespace sspo::cpu
