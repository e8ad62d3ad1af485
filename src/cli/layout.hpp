// Files and other programs lay pictures out as [B, C, H, W], the engine as [B, H, W, C].
#pragma once
#include "sspo/ops/movement.hpp"

namespace sspo::cli {

inline Tensor to_nhwc(const Tensor& x) { return contiguous(permute(x, {0, 2, 3, 1})); }
inline Tensor to_nchw(const Tensor& x) { return contiguous(permute(x, {0, 3, 1, 2})); }

}  // namespace sspo::cli
