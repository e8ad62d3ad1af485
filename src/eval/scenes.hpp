// How a thing is drawn: what draws it and what recognises it must agree.
#pragma once
#include "sspo/eval/scenes.hpp"

namespace sspo::scenes {

inline constexpr int units = 512, subpixels = 8, full = subpixels * subpixels;  // positions a side; samples a pixel
inline constexpr int least_large = 80;                                            // r of a large thing, at least
inline constexpr std::array<std::array<int, 3>, 7> rgb = {{{220, 40, 40}, {245, 130, 30}, {240, 200, 30}, {40, 160, 60}, {40, 80, 220}, {150, 50, 180}, {30, 30, 30}}};

// How many of the samples of pixel (px, py) lie inside, of a picture `side` pixels wide.
int coverage(const Thing& thing, Index side, Index px, Index py);
std::string name_of(int size, int colour, int shape);  // "a small red circle"; size -1: none

}  // namespace sspo::scenes
