#include "cli/emoji/drawing.hpp"

#include <algorithm>

namespace sspo::cli::emoji {

io::Image over_white(io::Image image, const std::vector<std::uint8_t>& alpha) {
  for (std::size_t i = 0; i < image.rgb.size(); ++i) {
    const unsigned a = alpha[i / 3];
    image.rgb[i] = std::uint8_t((image.rgb[i] * a + 255 * (255 - a) + 127) / 255);
  }
  return image;
}

io::Image squared(const Drawing& d, Index side) {
  const Index width = d.on_white.width, height = d.on_white.height;
  Index left = width, top = height, right = -1, bottom = -1;
  for (Index y = 0; y < height; ++y)
    for (Index x = 0; x < width; ++x)
      if (d.alpha[std::size_t(y * width + x)] > 8) left = std::min(left, x), right = std::max(right, x), top = std::min(top, y), bottom = y;
  if (right < 0) return {};
  const io::Image cut = io::crop(d.on_white, left, top, right + 1 - left, bottom + 1 - top);
  const Index longer = std::max(cut.width, cut.height), margin = (longer + 15) / 30;
  io::Image square = io::make_image(longer + 2 * margin, longer + 2 * margin, 255);
  const Index x = (square.width - cut.width) / 2, y = (square.height - cut.height) / 2;
  for (Index row = 0; row < cut.height; ++row) std::copy_n(cut.at(0, row), 3 * cut.width, square.at(x, y + row));
  return io::resize(square, side, side, io::Filter::lanczos);
}

}  // namespace sspo::cli::emoji
