// Matrix products:   C[m,n] = act(α Σ_k A[m,k] B[k,n] + bias[n] + residual[m,n])
//
// A and B have any row and column stride, so one entry serves A B, A Bᵀ, Aᵀ B and Aᵀ Bᵀ. C's rows are
// contiguous. Costs 2 batch m n k FLOPs. Sums are f32 for f32 and bf16, f64 for f64; the order of
// every sum depends on (batch, m, n, k) and the strides alone, never on the number of threads.
//
//   GemmArgs a{.m = tokens, .n = out, .k = in, .a = {x, in, 1}, .b = {w, 1, in}, .c = y, .ldc = out};
//                                                                         y = x wᵀ, w [out, in]
#pragma once
#include "sspo/base/config.hpp"
#include "sspo/ops/activation.hpp"

namespace sspo::kernels {

// Element (i, j) is data[i * rs + j * cs].
struct Matrix {
  const void* data = nullptr;
  Index rs = 0, cs = 0;
};

struct GemmArgs {
  Index batch = 1, m = 0, n = 0, k = 0;
  Matrix a = {}, b = {};             // [m, k], [k, n]
  Index a_batch = 0, b_batch = 0;    // elements from one matrix of the batch to the next; 0: shared
  void* c = nullptr;                 // [m, n], element (i, j) at i * ldc + j; must not overlap A or B
  Index ldc = 0, c_batch = 0;
  const void* bias = nullptr;        // [n] or null, of C's type
  const void* residual = nullptr;    // laid out as C, or null; not C itself: that is accumulate
  Activation act = Activation::none;
  bool accumulate = false;           // C += ... ; then act must be none
  double alpha = 1;
  const void* packed_b = nullptr;    // what pack_b made of B (shared by the batch): b is not read then
};

}  // namespace sspo::kernels
