// Group norm, layer norm and their gradients on a CUDA device: formulas and argument structs in kernels/norm.hpp, pointers on the device.
#pragma once
#include "context.hpp"
#include "kernels/norm.hpp"
#include "sspo/base/dtype.hpp"

namespace sspo::cuda::inline SSPO_CUDA_WORLD {

void group_norm(const Context&, DType, const kernels::GroupNormArgs&);
void group_norm_grad(const Context&, DType, const kernels::GroupNormGradArgs&);
void layer_norm(const Context&, DType, const kernels::LayerNormArgs&);
void layer_norm_grad(const Context&, DType, const kernels::LayerNormGradArgs&);

// How group norm cuts x [batch, positions, channels] into tiles: `rows` positions by `width` channels, which are whole groups or, where
// one group is wider than a block, a piece of one. `one_read`: a tile holds all positions of its groups and stays in shared memory.
struct GroupTiles {
  Index batch, positions, channels;
  int group;                             // channels a group, D
  int width = 0, rows = 0;
  int across = 0, down = 0;              // tiles side by side, one above the other
  int pieces = 1;                        // tiles across a group: more than 1 where width < D
  int groups = 1;                        // that a tile has channels of
  int columns = 0, threads = 0;          // packs across a tile, threads a block
  int samples = 1;                       // that a block takes one after the other
  bool wide = false, one_read = false;   // wide: packs of 16 bytes
  std::size_t kept_bytes = 0;            // of a tile in shared memory
};
// `arrays` of x's shape are read (x; for the gradient x and g).
GroupTiles group_norm_tiles(Index batch, Index positions, Index channels, Index groups, int element_bytes, int arrays, bool aligned,
                            const DeviceLimits&);

}  // namespace sspo::cuda::inline SSPO_CUDA_WORLD
