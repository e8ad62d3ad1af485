// Elementwise loops per instruction set, and the driver that feeds them.
#pragma once
#include "backend.hpp"
#include "cpu/context.hpp"

namespace sspo::cpu {

// One row per op of ElementwiseOps, in its order.
struct ElementwiseKernels {
  const detail::InnerLoop* f32;
  const detail::InnerLoop* f64;
  const detail::InnerLoop* i64;  // null entries: not for integers
};
const ElementwiseKernels& elementwise_kernels(Isa isa);

// out = loop(in...), blockwise: blocks are read in place where an operand is contiguous and has the
// compute type; else they are gathered, broadcast and converted into cache-resident scratch.
void elementwise(const Context& ctx, const ElementwiseArgs& args);

// to = from, converted; any strides.
void copy(const Context& ctx, const View& from, const View& to);

}  // namespace sspo::cpu
