#include "cpu/gemm.hpp"

#include "cpu/dispatch.hpp"

namespace sspo::cpu {

SSPO_MATRIX_TABLE_PER_SET(GemmKernels, gemm_kernels, gemm_table)

}  // namespace sspo::cpu
