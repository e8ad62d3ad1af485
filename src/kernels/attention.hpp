// Attention, forward and backward, for each sample b and head h:
//
//   S = scale Q Kᵀ + mask      P = softmax over keys of S      O = P V
//
// Layout channels last: q, o [B, N, H, D], k, v [B, M, H, D], each with its own strides, so that q, k and
// v may be slices of one buffer [B, N, 3, H, D]. Neither S nor P is ever stored whole: memory is linear in
// N and M. Costs 4 BHNMD FLOPs forward and 10 BHNMD backward, half of each when causal, and one exp per
// entry of P in each direction. The bits depend on the shapes alone, never on the number of threads.
//
//   AttentionArgs a{.batch = B, .heads = H, .queries = N, .keys = M, .head_dim = D,
//                   .q = {q, {N * H * D, H * D, D}}, ..., .scale = 1 / std::sqrt(D)};
#pragma once
#include <cmath>

#include "sspo/base/config.hpp"

namespace sspo::kernels {

// Elements from one sample, row (query or key) and head to the next. The head's D elements are contiguous.
struct HeadStrides {
  Index batch = 0, row = 0, head = 0;
};
struct Heads {
  const void* data = nullptr;
  HeadStrides strides;
};
struct HeadsOut {
  void* data = nullptr;  // null: not wanted (gradients only)
  HeadStrides strides;
};

// Added to S: [B or 1, H or 1, N or 1, M], a stride of 0 where an extent is broadcast, the keys contiguous.
// Of the compute type. -inf hides a key. A query that sees no key at all gives O = 0 and gradients of 0.
struct AttentionMask {
  const void* data = nullptr;  // null: none
  Index batch = 0, head = 0, query = 0;
};

struct AttentionArgs {
  Index batch = 0, heads = 0, queries = 0, keys = 0, head_dim = 0;
  Heads q, k, v;
  AttentionMask mask;
  double scale = 1;
  bool causal = false;      // query i sees the keys j <= i
  HeadsOut o;
  void* lse = nullptr;      // [B, H, N] contiguous, of the compute type: log Σ_j e^{S_ij}; null: not wanted
};

// dO is the gradient of O; q, k, v, mask, scale, causal, O and lse are those of the forward pass.
struct AttentionGradArgs {
  Index batch = 0, heads = 0, queries = 0, keys = 0, head_dim = 0;
  Heads q, k, v, o, d_o;
  AttentionMask mask;
  double scale = 1;
  bool causal = false;
  const void* lse = nullptr;
  HeadsOut dq, dk, dv;      // written, not added to; each may be null
};

}  // namespace sspo::kernels
