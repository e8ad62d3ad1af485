// Elements moved by index, and images resized and pooled. All views contiguous but `index`, whose values (i64) the caller has
// checked; what each computes: src/backend.hpp.
#pragma once
#include "context.hpp"
#include "sspo/tensor/view.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

// --- movement.cu.   index [O, J, I]
Index find_outside(const Context& ctx, const View& index, Index extent);  // waits for the device
void gather(const Context& ctx, const View& x, const View& index, const View& y);
void scatter_add(const Context& ctx, const View& x, const View& index, const View& y);

// --- movement_images.cu.   [B, H, W, C]
void resize(const Context& ctx, const View& x, const View& y, bool bilinear);
void resize_adjoint(const Context& ctx, const View& g, const View& y, bool bilinear);
void avg_pool(const Context& ctx, const View& x, const View& y, Index kernel, Index stride);
void avg_pool_adjoint(const Context& ctx, const View& g, const View& y, Index kernel, Index stride);

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
