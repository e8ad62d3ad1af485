#include "cli/vae_tiles.hpp"

#include <fmt/format.h>

#include "sspo/tensor/rehearsal.hpp"

namespace sspo::cli {
namespace {

// What one picture takes beside the weights.
std::string memory_of(const VaeConfig& c, Index height, Index width, DType dtype, bool encode, bool tiled) {
  const Device device = rehearsal_device();
  Params numbers(device, Rng{0});
  const Autoencoder vae(numbers, c);
  numbers.frozen().compute_in(dtype);
  const std::size_t before = device.memory().in_use;
  device.reset_peak_memory();
  const Index down = encode ? 1 : c.downscale();
  const Tensor x = zeros({1, height / down, width / down, encode ? c.in_channels : c.latent_channels}, dtype, device);
  if (encode) tiled ? tiled_encode(vae, x) : vae.encode(x);
  else tiled ? tiled_decode(vae, x) : vae.decode(x);
  const double mib = double(device.memory().peak - before) / (1 << 20);
  return mib >= 1024 ? fmt::format("{:.1f} GiB", mib / 1024) : fmt::format("{:.1f} MiB", mib);
}

}  // namespace

std::string tiles_note(const VaeConfig& c, Index height, Index width, DType dtype, bool encode) {
  const auto [down, across] = tiles_of(c, height, width);
  if (down * across == 1) return fmt::format("{} x {} is no larger than a tile of {} pixels: the picture is taken whole, no pixel changes", height, width, c.sample_size);
  return fmt::format("{} tiles of {} pixels ({} down, {} across), blended where they overlap: pixels are not those of the whole picture, most of all near the seams; the autoencoder takes {} in place of {}",
                     down * across, c.sample_size, down, across, memory_of(c, height, width, dtype, encode, true), memory_of(c, height, width, dtype, encode, false));
}

}  // namespace sspo::cli
