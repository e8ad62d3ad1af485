#include "cpu/optim.hpp"

#include "cpu/dispatch.hpp"

namespace sspo::cpu {

SSPO_TABLE_PER_SET(OptimKernels, optim_kernels, optim_table)

}  // namespace sspo::cpu
