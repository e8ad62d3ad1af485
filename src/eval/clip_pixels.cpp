#include "eval/clip_pixels.hpp"

#include <algorithm>
#include <cmath>

namespace sspo {
namespace {

constexpr Index most_stretched = 100;  // a longer side that becomes this many times `side` is no picture: it would fill the memory

std::vector<float> over_255(const io::Image& image) {
  std::vector<float> values(image.rgb.size());
  std::transform(image.rgb.begin(), image.rgb.end(), values.begin(), [](std::uint8_t v) { return float(v / 255.0); });
  return values;
}

// [side, side, 3] in [0, 1].
std::vector<float> fitted(const io::Image& image, Index side, ClipFit fit) {
  const Index longer = std::max(image.width, image.height), shorter = std::min(image.width, image.height);
  if (shorter < 1 || longer > most_stretched * shorter)
    fail({.op = "clip_pixels", .what = "no picture to look at", .expected = "sides of at most 1 : " + std::to_string(most_stretched), .got = std::to_string(image.width) + " x " + std::to_string(image.height)}, Site{});
  if (fit != ClipFit::longer_padded) {
    const auto centre = fit == ClipFit::shorter_floor ? io::Centre::floor : io::Centre::half_even;
    return over_255(io::centre_crop(io::resize_shorter(image, side, io::Filter::bicubic), side, side, centre));
  }
  const double scale = double(side) / double(longer);
  const auto scaled = [&](Index n) { return std::max<Index>(Index(std::nearbyint(double(n) * scale)), 1); };
  const Index width = scaled(image.width), height = scaled(image.height), left = (side - width) / 2, top = (side - height) / 2;
  const std::vector<float> inner = scale == 1 ? over_255(image) : io::resize_exact(image, width, height, io::Filter::bicubic);
  std::vector<float> all(std::size_t(3 * side * side), 0.0f);
  for (Index y = 0; y < height; ++y)
    std::copy_n(inner.begin() + 3 * y * width, 3 * width, all.begin() + 3 * ((top + y) * side + left));
  return all;
}

}  // namespace

Tensor clip_pixels(std::span<const io::Image> pictures, Index side, ClipFit fit, const Device& device) {
  std::vector<float> values;
  values.reserve(pictures.size() * std::size_t(3 * side * side));
  for (const io::Image& picture : pictures) {
    const std::vector<float> one = fitted(picture, side, fit);
    for (std::size_t i = 0; i < one.size(); ++i) values.push_back(float((one[i] - clip_mean[i % 3]) / clip_deviation[i % 3]));
  }
  return Tensor::from(values, {Index(pictures.size()), side, side, 3}, device);
}

}  // namespace sspo
