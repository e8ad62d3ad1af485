#include "cli/shapes.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "sspo/base/normal.hpp"

namespace sspo::cli {
namespace {

// How far (x, y) lies outside a shape of size r around the origin; negative inside. y points down.
float distance_outside(Index shape, float x, float y, float r) {
  const auto box = [](float u, float v, float half_u, float half_v) { return std::max(std::abs(u) - half_u, std::abs(v) - half_v); };
  const float from_centre = std::sqrt(x * x + y * y);
  switch (shape) {
    case 0: return from_centre - r;                                                            // circle
    case 1: return box(x, y, 0.85f * r, 0.85f * r);                                            // square
    case 2: return std::max(0.894f * std::abs(x) - 0.447f * y - 0.45f * r, y - 0.85f * r);     // triangle, point up
    case 3: return std::min(box(x, y, r, 0.32f * r), box(x, y, 0.32f * r, r));                 // cross
    case 4: return std::abs(from_centre - 0.78f * r) - 0.22f * r;                              // ring
    default: return 0.707f * (std::abs(x) + std::abs(y) - 1.15f * r);                          // diamond
  }
}

// A pure hue, 0 to 6 around the wheel, as red, green, blue in [0, 1].
std::array<float, 3> hue_colour(float hue) {
  const auto channel = [hue](float peak) {
    const float d = std::abs(hue - peak);
    return std::clamp(2.0f - std::min(d, 6.0f - d), 0.0f, 1.0f);
  };
  return {channel(0), channel(2), channel(4)};
}

void draw(const Rng& rng, Index shape, float* rgb) {
  const Philox where = rng.block(0), look = rng.block(1);
  const auto between = [](std::uint32_t word, float low, float high) { return low + (high - low) * uniform_of(word); };
  const float r = between(where.x[0], 4.8f, 6.4f), room = 7.5f - r;
  const float cx = 7.5f + between(where.x[1], -room, room), cy = 7.5f + between(where.x[2], -room, room);
  const float light = between(look.x[1], 0.65f, 1.0f);
  std::array<float, 3> colour = hue_colour(between(look.x[0], 0, 6));
  for (Index row = 0; row < picture_side; ++row)
    for (Index column = 0; column < picture_side; ++column, rgb += 3) {
      const float covered = std::clamp(0.5f - distance_outside(shape, float(column) - cx, float(row) - cy, r), 0.0f, 1.0f);
      for (std::size_t c = 0; c < 3; ++c) rgb[c] = 1 - 2 * covered * (1 - light * colour[c]);
    }
}

}  // namespace

Batch shape_batch(const Rng& rng, Index count, const Device& device) {
  std::vector<float> pictures(static_cast<std::size_t>(count * picture_side * picture_side * 3));
  std::vector<std::int64_t> classes(static_cast<std::size_t>(count));
  for (Index i = 0; i < count; ++i) {
    const Index shape = classes[std::size_t(i)] = (rng / i / "class").below(class_count);
    draw(rng / i, shape, pictures.data() + i * picture_side * picture_side * 3);
  }
  return {Tensor::from(pictures, {count, picture_side, picture_side, 3}, device), Tensor::from(classes, {count}, device)};
}

}  // namespace sspo::cli
