// The CPU's kernels for kernels/gemm.hpp.
#pragma once
#include <cstddef>

#include "cpu/context.hpp"
#include "kernels/gemm.hpp"

namespace sspo::cpu {
using namespace kernels;

// Up to so many rows a B with contiguous rows or columns is read where it lies, in sums of another order than
// those of packed panels: give such a product no packed_b, or its bits depend on how often it was asked for.
inline constexpr Index few_rows_most = 8;

// One element type. Packing B pays when the same B (a weight) multiplies several times.
struct GemmOf {
  void (*multiply)(const Context&, const GemmArgs&);
  std::size_t (*packed_b_bytes)(Index n, Index k);
  void (*pack_b)(const Context&, Index n, Index k, const Matrix& b, void* packed);  // packed: 64-byte aligned
};

struct GemmKernels {
  GemmOf f32 = {}, f64 = {};
  GemmOf bf16 = {};      // A, B, C, bias and residual bf16; f32 sums
  GemmOf bf16_f32 = {};  // A, B bf16; C, bias, residual f32: weight gradients
};

const GemmKernels& gemm_kernels(Isa);

}  // namespace sspo::cpu
