// A picture with transparency, and how it becomes a square one on white.
#pragma once
#include <vector>

#include "sspo/io/image.hpp"

namespace sspo::cli::emoji {

struct Drawing {
  io::Image on_white;
  std::vector<std::uint8_t> alpha;  // [height, width]
};
// colour over white: a c + (255 - a) 255, over 255, rounded.
io::Image over_white(io::Image colours, const std::vector<std::uint8_t>& alpha);
// Cut to what has alpha above 8, in the middle of a white square with a margin of 1/30 of the longer side (else the margin
// tells the styles apart), resized. Nothing visible: an empty picture.
io::Image squared(const Drawing& drawing, Index side);

}  // namespace sspo::cli::emoji
