// Copies between views of one shape: any strides, any pair of dtypes.
#pragma once
#include "context.hpp"
#include "sspo/tensor/view.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

// to[i] = from[i], converted as the CPU converts. `from` may repeat elements (strides of 0), `to` must not.
void copy(const Context& ctx, const View& from, const View& to);

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
