// Pictures through an autoencoder piece by piece, where whole they do not fit into memory: as diffusers' AutoencoderKL does with
// enable_tiling and enable_slicing.
//   Tensor x = tiled_decode(vae, z);      // [B, h, w, 4] -> [B, H, W, 3]; memory is that of one tile
// Tiles overlap by a quarter and are blended linearly there. A tile is normalised by itself and attends to itself alone: pixels are
// not those of the whole picture, most of all near seams. What is no larger than one tile is taken whole, to the same bits.
#pragma once
#include "sspo/models/vae.hpp"

namespace sspo {

struct VaeTiles {
  Index pixels = 0;       // a tile's side; 0: the config's sample_size, 512 for Stable Diffusion 1.5
  double overlap = 0.25;  // share of a side that neighbouring tiles have in common
};

Tensor tiled_decode(const Autoencoder& vae, const Tensor& latents, VaeTiles tiles = {}, Site at = Site::current());
Moments tiled_encode(const Autoencoder& vae, const Tensor& images, VaeTiles tiles = {}, Site at = Site::current());
// How many tiles there are down and across a picture of so many pixels; {1, 1}: it is taken whole.
std::array<Index, 2> tiles_of(const VaeConfig& config, Index height, Index width, VaeTiles tiles = {});

// One picture at a time, each in tiles if they are asked for: the bits of each are those that it has alone.
Tensor sliced_decode(const Autoencoder& vae, const Tensor& latents, std::optional<VaeTiles> tiles = {}, Site at = Site::current());
Moments sliced_encode(const Autoencoder& vae, const Tensor& images, std::optional<VaeTiles> tiles = {}, Site at = Site::current());

}  // namespace sspo
