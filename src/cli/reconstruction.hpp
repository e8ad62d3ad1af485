// How well an autoencoder gives a data set's pictures back.
#pragma once
#include "cli/where.hpp"
#include "io/json.hpp"
#include "sspo/models/vae.hpp"

namespace sspo::cli {

struct Reconstruction {
  Index pictures = 0;
  double psnr = 0, red = 0, green = 0, blue = 0;  // dB, of 8-bit values: 10 log10(255² / mean squared error); 99 where there is none
};
// decode(mean of q(z | x)) beside x, pictures cut and resized to the autoencoder's sample_size. Error{input}: no such row.
Reconstruction reconstruct(const Autoencoder& vae, const io::Dataset& data, const Where& where, const Device& device);
io::Json json_of(const Reconstruction& r);

}  // namespace sspo::cli
