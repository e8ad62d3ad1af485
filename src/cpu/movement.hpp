// Kernels that move elements, or sum few of them: bound by memory, written as plain loops. Shapes and
// the contract of each stand with the Backend functions of the same names.
#pragma once
#include "backend.hpp"
#include "cpu/context.hpp"

namespace sspo::cpu {

Index find_outside(const Context& ctx, const View& index, Index extent);
void gather(const Context& ctx, const View& x, const View& index, const View& y);
void scatter_add(const Context& ctx, const View& x, const View& index, const View& y);
void resize(const Context& ctx, const View& x, const View& y, bool bilinear);
void resize_adjoint(const Context& ctx, const View& g, const View& y, bool bilinear);
void avg_pool(const Context& ctx, const View& x, const View& y, Index kernel, Index stride);
void avg_pool_adjoint(const Context& ctx, const View& g, const View& y, Index kernel, Index stride);

}  // namespace sspo::cpu
