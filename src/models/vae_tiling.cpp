#include "sspo/models/vae_tiling.hpp"

#include <algorithm>

namespace sspo {
namespace {

// Along one axis, in its own units (pixels or latents): tiles begin every `stride`, what comes out of each is blended with the one
// before over `blend` and cut to `keep`.
struct Cut {
  Index side, stride;        // of the input
  Index blend, keep;         // of the output
};

Index tile_pixels(const VaeConfig& c, VaeTiles t, Site at) {
  const Index pixels = t.pixels ? t.pixels : c.sample_size;
  if (pixels < c.downscale() || !(t.overlap >= 0 && t.overlap < 1) || Index(double(pixels / c.downscale()) * (1 - t.overlap)) < 1)
    fail({.op = "vae tiles", .what = "no such tiles", .expected = "tiles of " + std::to_string(c.downscale()) + " pixels or more that overlap by less than their side",
          .got = std::to_string(pixels) + " pixels, overlap " + std::to_string(t.overlap)}, at);
  return pixels;
}

// int(side (1 - overlap)), int(out (overlap)): the roundings of diffusers' AutoencoderKL.
Cut cut_of(Index side, Index out, double overlap) {
  const Index blend = Index(double(out) * overlap);
  return {side, Index(double(side) * (1 - overlap)), blend, out - blend};
}

// b, its first rows (axis 1) or columns (axis 2) led over from the last ones of a: a (1 - i / n) + b i / n.
Tensor blended(const Tensor& a, const Tensor& b, int axis, Index extent) {
  const Index n = std::min({a.dim(axis), b.dim(axis), extent});
  if (n == 0) return b;
  std::vector<float> ramp;
  for (Index i = 0; i < n; ++i) ramp.push_back(float(double(i) / double(n)));
  const Tensor r = cast(Tensor::from(ramp, axis == 1 ? Shape{1, n, 1, 1} : Shape{1, 1, n, 1}, b.device()), b.dtype());
  const Tensor seam = slice(a, axis, a.dim(axis) - n, a.dim(axis)) * (1 - r) + slice(b, axis, 0, n) * r;
  return n == b.dim(axis) ? seam : cat({seam, slice(b, axis, n, b.dim(axis))}, axis);
}

Tensor part(const Tensor& x, int axis, Index begin, Index length) { return slice(x, axis, begin, std::min(begin + length, x.dim(axis))); }

// A tile is blended with the blended ones above and at its left; of these two rows of tiles are held at a time.
template <class F>
Tensor by_tiles(const Tensor& x, const Cut& c, F&& f) {
  Tensors above, bands;
  for (Index i = 0; i < x.dim(1); i += c.stride) {
    Tensors row, kept;
    for (Index j = 0; j < x.dim(2); j += c.stride) {
      Tensor tile = f(contiguous(part(part(x, 1, i, c.side), 2, j, c.side)));
      if (i > 0) tile = blended(above[row.size()], tile, 1, c.blend);
      if (j > 0) tile = blended(row.back(), tile, 2, c.blend);
      kept.push_back(part(part(tile, 1, 0, c.keep), 2, 0, c.keep));
      row.push_back(std::move(tile));
    }
    bands.push_back(cat(kept, 2));
    above = std::move(row);
  }
  return cat(bands, 1);
}

template <class F>
Tensor one_by_one(const Tensor& x, F&& f) {
  Tensors all;
  for (Index i = 0; i < x.dim(0); ++i) all.push_back(f(slice(x, 0, i, i + 1)));
  return cat(all, 0);
}

Tensor joined(const Moments& m) { return cat({m.mean, m.logvar}, -1); }  // [B, h, w, 2 C]
Moments parted(const Tensor& both) {
  const Index C = both.dim(-1) / 2;
  return {.mean = slice(both, -1, 0, C), .logvar = slice(both, -1, C, 2 * C)};
}

}  // namespace

std::array<Index, 2> tiles_of(const VaeConfig& c, Index height, Index width, VaeTiles t) {
  const Index pixels = tile_pixels(c, t, Site{}), side = pixels / c.downscale(), stride = Index(double(side) * (1 - t.overlap));
  const Index h = height / c.downscale(), w = width / c.downscale();
  if (h <= side && w <= side) return {1, 1};
  return {(h + stride - 1) / stride, (w + stride - 1) / stride};
}

Tensor tiled_decode(const Autoencoder& vae, const Tensor& z, VaeTiles t, Site at) {
  const VaeConfig& c = vae.config();
  const Index pixels = tile_pixels(c, t, at), side = pixels / c.downscale();
  if (z.rank() != 4 || (z.dim(1) <= side && z.dim(2) <= side)) return vae.decode(z, at);
  return by_tiles(z, cut_of(side, pixels, t.overlap), [&](const Tensor& tile) { return vae.decode(tile, at); });
}

Moments tiled_encode(const Autoencoder& vae, const Tensor& x, VaeTiles t, Site at) {
  const VaeConfig& c = vae.config();
  const Index pixels = tile_pixels(c, t, at);
  if (x.rank() != 4 || (x.dim(1) <= pixels && x.dim(2) <= pixels)) return vae.encode(x, at);
  return parted(by_tiles(x, cut_of(pixels, pixels / c.downscale(), t.overlap), [&](const Tensor& tile) { return joined(vae.encode(tile, at)); }));
}

Tensor sliced_decode(const Autoencoder& vae, const Tensor& z, std::optional<VaeTiles> t, Site at) {
  const auto decode = [&](const Tensor& x) { return t ? tiled_decode(vae, x, *t, at) : vae.decode(x, at); };
  return z.rank() == 4 && z.dim(0) > 1 ? one_by_one(z, decode) : decode(z);
}

Moments sliced_encode(const Autoencoder& vae, const Tensor& x, std::optional<VaeTiles> t, Site at) {
  const auto encode = [&](const Tensor& one) { return t ? tiled_encode(vae, one, *t, at) : vae.encode(one, at); };
  if (x.rank() != 4 || x.dim(0) < 2) return encode(x);
  return parted(one_by_one(x, [&](const Tensor& one) { return joined(encode(one)); }));
}

}  // namespace sspo
