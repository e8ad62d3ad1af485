// Every op of the engine, and the list from which checks, benches and the table of ops are made.
#pragma once
#include "sspo/ops/attention.hpp"
#include "sspo/ops/conv.hpp"
#include "sspo/ops/create.hpp"
#include "sspo/ops/elementwise.hpp"
#include "sspo/ops/loss.hpp"
#include "sspo/ops/matmul.hpp"
#include "sspo/ops/movement.hpp"
#include "sspo/ops/norm.hpp"
#include "sspo/ops/reduce.hpp"
#include "sspo/ops/softmax.hpp"

namespace sspo {

using MovementOps = OpList<Contiguous, Reshape, Permute, Expand, Slice, Unslice, Flip, Pad, Gather, ScatterAdd, IndexSelect,
                           IndexAdd, ResizeOp, ResizeAdjoint, AvgPool, AvgPoolAdjoint>;
using ReduceOps = OpList<Sum, Mean, Max, Min, Var, Norm, ArgMax>;
using MatrixOps = OpList<Matmul, Conv2d, Attention>;
using FusedOps = OpList<Softmax, LogSoftmax, GroupNorm, LayerNorm, Geglu, MsePerSample, CrossEntropy, Dropout, TimestepEmbedding>;

// for_each_op([]<Op O>() { ... });   cat, which takes any number of tensors, is checked by its own test.
template <class F>
void for_each_op(F&& f) {
  ElementwiseOps::for_each(f);
  f.template operator()<Cast>();
  MovementOps::for_each(f);
  ReduceOps::for_each(f);
  MatrixOps::for_each(f);
  FusedOps::for_each(f);
}

}  // namespace sspo
