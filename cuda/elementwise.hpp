// The engine's elementwise ops, operands broadcast: sspo/ops/elementwise.hpp has the formulas.
#pragma once
#include <span>

#include "context.hpp"
#include "sspo/ops/elementwise_loop.hpp"
#include "sspo/tensor/view.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

// Whether the device has the op: the engine's own, on integers where they have a meaning. Loops that a user brings are the host's code.
bool supports_elementwise(const detail::Loops& loops, DType compute);

// out[i] = f(in[0][i], in[1][i], ...), f the op at position `op` of ElementwiseOps, computed in f32, f64 or i64. Operands have
// out's shape (strides of 0 where they are broadcast), out is contiguous; it may be an operand's own memory.
void elementwise(const Context& ctx, int op, const void* attrs, std::span<const View> in, const View& out, DType compute);

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
