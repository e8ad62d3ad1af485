// Which things a picture shows: spots of a known colour, and the shape whose own drawing comes nearest.
#include <algorithm>
#include <limits>

#include "eval/scenes.hpp"

namespace sspo::scenes {
namespace {

// A pixel's ink is what it lacks of white. Mixed with white, a colour's ink becomes less; its direction stays.
struct Ink {
  int colour = 0, amount = 0;  // the colour whose direction is nearest; how much of it covers the pixel, of full
};

Ink ink_of(const std::uint8_t* pixel) {
  Ink best;
  Index best_dot = 0, best_norm = 1;
  for (std::size_t k = 0; k < rgb.size(); ++k) {
    Index dot = 0, norm = 0;
    for (std::size_t c = 0; c < 3; ++c) dot += Index(255 - pixel[c]) * (255 - rgb[k][c]), norm += Index(255 - rgb[k][c]) * (255 - rgb[k][c]);
    if (dot * dot * best_norm <= best_dot * best_dot * norm) continue;  // the largest projection leaves the least
    best_dot = dot, best_norm = norm;
    best = {int(k), int(std::min<Index>((dot * full + norm / 2) / norm, full))};
  }
  return best;
}

struct Spot {
  int colour;
  Index left, top, right, bottom;  // the last pixels that belong to it
  Index pixels = 0;
};

class Picture {
 public:
  explicit Picture(const io::Image& image) : side_(image.width), ink_(std::size_t(side_ * side_)), spot_(ink_.size(), -1) {
    for (Index i = 0; i < side_ * side_; ++i) ink_[std::size_t(i)] = ink_of(image.rgb.data() + 3 * i);
    for (Index i = 0; i < side_ * side_; ++i)
      if (solid(i) && spot_[std::size_t(i)] < 0) spots_.push_back(flood(i));
  }
  // Spots that count; what is smaller than a sixteenth of the side squared is dirt.
  Seen seen() const {
    Seen found;
    for (std::size_t s = 0; s < spots_.size(); ++s) {
      if (spots_[s].pixels * 256 < side_ * side_) continue;
      Thing best{};
      if (!recognise(int(s), best)) found.unclear = "a " + std::string(colours[std::size_t(spots_[s].colour)]) + " spot has none of the shapes";
      else found.things.push_back(best);
    }
    return found;
  }

 private:
  bool solid(Index i) const { return 2 * ink_[std::size_t(i)].amount >= full; }

  Spot flood(Index start) {
    const int number = int(spots_.size()), colour = ink_[std::size_t(start)].colour;
    Spot spot{colour, side_, side_, 0, 0};
    std::vector<Index> todo = {start};
    spot_[std::size_t(start)] = number;
    while (!todo.empty()) {
      const Index i = todo.back(), x = i % side_, y = i / side_;
      todo.pop_back();
      ++spot.pixels;
      spot = {colour, std::min(spot.left, x), std::min(spot.top, y), std::max(spot.right, x), std::max(spot.bottom, y), spot.pixels};
      const auto visit = [&](bool inside, Index next) {
        if (!inside || !solid(next) || spot_[std::size_t(next)] >= 0 || ink_[std::size_t(next)].colour != colour) return;
        spot_[std::size_t(next)] = number;
        todo.push_back(next);
      };
      visit(x > 0, i - 1), visit(x + 1 < side_, i + 1), visit(y > 0, i - side_), visit(y + 1 < side_, i + side_);
    }
    return spot;
  }

  // How far the drawing of `t` is from the spot, and the ink it has; stops where it is no better than `best`.
  Index distance(int number, const Thing& t, Index best, Index& ink) const {
    const Spot& spot = spots_[std::size_t(number)];
    Index sum = 0;
    ink = 0;
    for (Index y = std::max<Index>(spot.top - 2, 0); y <= std::min(spot.bottom + 2, side_ - 1); ++y) {
      for (Index x = std::max<Index>(spot.left - 2, 0); x <= std::min(spot.right + 2, side_ - 1); ++x) {
        const std::size_t i = std::size_t(y * side_ + x);
        const bool others = spot_[i] >= 0 && spot_[i] != number;
        const int drawn = coverage(t, side_, x, y);
        ink += drawn;
        sum += std::abs(drawn - (others ? 0 : ink_[i].amount));
      }
      if (sum >= best) return sum;
    }
    return sum;
  }

  // Each shape at the spot's box, moved and grown by up to a pixel in halves; the best of them by a quarter more. False: even
  // that is off by a quarter of its ink.
  bool recognise(int number, Thing& best) const {
    const Spot& spot = spots_[std::size_t(number)];
    const auto from = [&](Index half_pixels) { return int(half_pixels * units / (2 * side_)); };
    const Index width = spot.right + 1 - spot.left, r = std::max(width, spot.bottom + 1 - spot.top);  // in half pixels
    Index least = std::numeric_limits<Index>::max(), least_ink = 0;
    const auto attempt = [&](const Thing& t) {
      Index ink = 0;
      const Index sum = distance(number, t, least, ink);
      if (sum < least) least = sum, least_ink = ink, best = t;
    };
    for (const Index dr : {0, 1, -1, 2, -2})
      for (int shape = 0; shape < int(shapes.size()); ++shape)
        for (const Index dy : {0, 1, -1, 2, -2})
          for (const Index dx : {0, 1, -1, 2, -2}) {
            // A triangle's point is too thin to be solid: it stands on the spot's lower edge.
            const Index y = shape == 2 ? 2 * (spot.bottom + 1) - (width + dr) : spot.top + spot.bottom + 1;
            const Thing t{.size = 0, .colour = spot.colour, .shape = shape, .x = from(spot.left + spot.right + 1 + dx), .y = from(y + dy), .r = from((shape == 2 ? width : r) + dr)};
            attempt(t);
          }
    const Thing coarse = best;
    const int quarter = units / int(4 * side_);
    for (const int dr : {0, quarter, -quarter})
      for (const int dy : {0, quarter, -quarter})
        for (const int dx : {0, quarter, -quarter}) attempt({.size = 0, .colour = coarse.colour, .shape = coarse.shape, .x = coarse.x + dx, .y = coarse.y + dy, .r = coarse.r + dr});
    best.size = best.r >= least_large;
    return 4 * least <= least_ink;
  }

  Index side_;
  std::vector<Ink> ink_;
  std::vector<int> spot_;  // of each pixel; -1: none
  std::vector<Spot> spots_;
};

bool fits(const Thing& t, const Claim::Thing& claim) {
  return t.colour == claim.colour && t.shape == claim.shape && (claim.size < 0 || t.size == claim.size);
}

bool related(const Thing& a, const Thing& b, int relation) {
  const int dx = b.x - a.x, dy = b.y - a.y, along = relation < 2 ? dx : dy, across = relation < 2 ? dy : dx;
  return (relation % 2 == 0 ? along : -along) > std::abs(across);
}

bool shows(const std::vector<Thing>& things, const Claim& claim) {
  if (things.size() != claim.things.size()) return false;
  if (things.size() == 1) return fits(things[0], claim.things[0]);
  for (const auto& [a, b] : {std::pair{things[0], things[1]}, std::pair{things[1], things[0]}})
    if (fits(a, claim.things[0]) && fits(b, claim.things[1]) && related(a, b, claim.relation)) return true;
  return false;
}

std::string list_of(const std::vector<Thing>& things) {
  if (things.empty()) return "it shows nothing";
  std::string words = "it shows ";
  for (std::size_t i = 0; i < things.size() && i < 4; ++i) words += (i ? ", " : "") + name_of(things[i].size, things[i].colour, things[i].shape);
  if (things.size() > 4) words += ", ...";
  if (things.size() == 2)
    for (std::size_t r = 0; r < relations.size(); ++r)
      if (related(things[0], things[1], int(r))) words += ", the first " + std::string(relations[r]) + " the second";
  return words;
}

}  // namespace

Seen see(const io::Image& image) {
  if (image.width != image.height || image.width < 32) return {{}, "the picture is not square, 32 pixels or more a side"};
  return Picture(image).seen();
}

Verdict judge(const Seen& seen, const Claim& claim) {
  if (!seen.unclear.empty()) return {false, seen.unclear};
  if (shows(seen.things, claim)) return {true, {}};
  return {false, list_of(seen.things)};
}

}  // namespace sspo::scenes
