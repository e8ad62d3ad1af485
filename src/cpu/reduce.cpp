#include "cpu/reduce.hpp"

#include "cpu/dispatch.hpp"

namespace sspo::cpu {

SSPO_TABLE_PER_SET(ReduceKernels, reduce_kernels, reduce_table)

}  // namespace sspo::cpu
