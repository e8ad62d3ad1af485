// Scenes: made up, drawn, put into words.
#include "eval/scenes.hpp"

#include <algorithm>
#include <cstdlib>

namespace sspo::scenes {

// The sample (2k + 1) / (2 subpixels side) and the thing's x / units, both times 2 subpixels side units: whole numbers below 2^35.
int coverage(const Thing& t, Index side, Index px, Index py) {
  const Index scale = 2 * subpixels * side, r = t.r * scale;
  int inside = 0;
  for (Index j = 0; j < subpixels; ++j)
    for (Index i = 0; i < subpixels; ++i) {
      const Index dx = (2 * (px * subpixels + i) + 1) * units - t.x * scale, dy = (2 * (py * subpixels + j) + 1) * units - t.y * scale;
      const Index u = std::abs(dx), v = std::abs(dy);
      switch (t.shape) {
        case 0: inside += dx * dx + dy * dy <= r * r; break;                        // circle
        case 1: inside += u <= r && v <= r; break;                                  // square
        case 2: inside += 2 * u <= dy + r && dy <= r; break;                        // triangle, point up
        default: inside += (u <= r && 3 * v <= r) || (v <= r && 3 * u <= r); break;  // cross, arms a third as wide as long
      }
    }
  return inside;
}

std::string name_of(int size, int colour, int shape) {
  std::string words = size < 0 ? "" : std::string(sizes[std::size_t(size)]) + " ";
  words += std::string(colours[std::size_t(colour)]) + " " + std::string(shapes[std::size_t(shape)]);
  return (words.starts_with("orange") ? "an " : "a ") + words;
}

namespace {

constexpr int step = units / 32, margin = step, least_gap = 2 * step;  // on the pixels of a picture 32 wide

// low, low + step, ... high
int place(const Rng& rng, int low, int high) { return low + step * int(rng.below((high - low) / step + 1)); }

Thing random_thing(const Rng& rng, int kind) {
  const int size = int((rng / "size").below(2));
  return {.size = size, .colour = kind / int(shapes.size()), .shape = kind % int(shapes.size()), .x = 0, .y = 0,
          .r = step * ((size ? 6 : 3) + int((rng / "r").below(2))), .size_said = (rng / "said").below(2) == 1};
}

// Two things one after the other along an axis, first before second; across it they differ by at most half as much.
void place_two(const Rng& rng, Thing& first, Thing& second, int Thing::* along, int Thing::* across) {
  const int room = units - 2 * (margin + first.r + second.r) - least_gap;
  first.*along = margin + first.r + place(rng / "lead", 0, room);
  second.*along = place(rng / "gap", first.*along + first.r + least_gap + second.r, units - margin - second.r);
  first.*across = place(rng / "first", margin + first.r, units - margin - first.r);
  const int most = (second.*along - first.*along) / 2 / step * step;
  second.*across = std::clamp(first.*across + place(rng / "second", -most, most), margin + second.r, units - margin - second.r);
}

}  // namespace

Scene random_scene(const Rng& rng) {
  constexpr int kinds = int(colours.size() * shapes.size());
  const int kind = int((rng / "kind").below(kinds));
  Scene scene{{random_thing(rng / 0, kind)}};
  if ((rng / "things").below(3) == 0) {
    Thing& t = scene.things[0];
    t.x = place(rng / "x", margin + t.r, units - margin - t.r);
    t.y = place(rng / "y", margin + t.r, units - margin - t.r);
    return scene;
  }
  scene.things.push_back(random_thing(rng / 1, (kind + 1 + int((rng / "other").below(kinds - 1))) % kinds));  // another colour or shape
  scene.relation = int((rng / "relation").below(4));
  Thing &a = scene.things[0], &b = scene.things[1];
  const bool forward = scene.relation % 2 == 0, sideways = scene.relation < 2;
  place_two(rng, forward ? a : b, forward ? b : a, sideways ? &Thing::x : &Thing::y, sideways ? &Thing::y : &Thing::x);
  return scene;
}

std::string caption_of(const Scene& scene) {
  Claim claim;
  for (const Thing& t : scene.things) claim.things.push_back({t.size_said ? t.size : -1, t.colour, t.shape});
  if (claim.things.size() == 2) claim.relation = scene.relation;
  return claim.text();
}

io::Image draw_scene(const Scene& scene, Index side, Drawing drawing) {
  if (side < 32 || side > 4096) fail({.op = "draw_scene", .what = "no such side", .expected = "32 to 4096 pixels", .got = std::to_string(side)}, Site{});
  io::Image image = io::make_image(side, side, 255);
  const auto paint = [&](const Thing& t, const std::array<int, 3>& colour) {
    for (Index y = 0; y < side; ++y)
      for (Index x = 0; x < side; ++x) {
        const int n = coverage(t, side, x, y);
        for (std::size_t c = 0; n > 0 && c < 3; ++c) {
          std::uint8_t& v = image.at(x, y)[c];
          v = std::uint8_t((v * (full - n) + colour[c] * n + full / 2) / full);
        }
      }
  };
  for (const Thing& t : scene.things) {
    paint(t, rgb[std::size_t(t.colour)]);
    if (drawing == Drawing::filled) continue;
    Thing inner = t;
    inner.r /= 2;
    paint(inner, {255, 255, 255});
  }
  return image;
}

}  // namespace sspo::scenes
