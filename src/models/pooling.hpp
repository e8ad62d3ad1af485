// Pools that classifiers of pictures use, as compositions: x [B, H, W, C].
#pragma once
#include "sspo/ops/all.hpp"

namespace sspo {

// The largest of each kernel x kernel window; windows that do not fit are left out. Frames of `padding` count as -infinity.
Tensor max_pool(Tensor x, Index kernel, Index stride, Index padding = 0, Site at = Site::current());

// The mean of each 3x3 window around a pixel, over those of its pixels that are there.
Tensor avg_pool_same3(const Tensor& x);

}  // namespace sspo
