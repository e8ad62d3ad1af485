#include "cpu/geglu.hpp"

#include "cpu/dispatch.hpp"

namespace sspo::cpu {

SSPO_TABLE_PER_SET(GegluKernels, geglu_kernels, geglu_table)

}  // namespace sspo::cpu
