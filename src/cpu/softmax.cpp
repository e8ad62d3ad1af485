#include "cpu/softmax.hpp"

#include "cpu/dispatch.hpp"

namespace sspo::cpu {

SSPO_TABLE_PER_SET(SoftmaxKernels, softmax_kernels, softmax_table)

}  // namespace sspo::cpu
