// What --vae-tiling and data.vae_tiling tell of themselves.
#pragma once
#include <string>

#include "sspo/base/config.hpp"
#include "sspo/models/vae_tiling.hpp"

namespace sspo::cli {

// "6 tiles of 512 pixels (2 down, 3 across), blended where they overlap: pixels near the seams are not those of the whole picture; the
// autoencoder takes 1.5 GiB in place of 4.1 GiB". Memory is rehearsed, beside the weights, of one picture.
std::string tiles_note(const VaeConfig& config, Index height, Index width, DType dtype, bool encode);

}  // namespace sspo::cli
