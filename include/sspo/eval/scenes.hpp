// Generated scenes, "a small red circle left of a blue square", and a program that decides whether a picture shows its caption:
// for science at small scale, where a reward can be exact, and for machines without fonts.
//   const Scene scene = random_scene(rng / i);
//   const io::Image picture = draw_scene(scene, 32);
//   const std::string caption = caption_of(scene);               // judge(picture, parse_claim(caption)).holds
//   const Verdict v = judge(drawn_by_a_model, parse_claim(caption));   // v.why: "it shows a small blue circle"
// Everything is whole numbers: the same bits on every machine.
#pragma once
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "sspo/base/rng.hpp"
#include "sspo/io/image.hpp"

namespace sspo::scenes {

inline constexpr std::array<std::string_view, 2> sizes = {"small", "large"};
inline constexpr std::array<std::string_view, 7> colours = {"red", "orange", "yellow", "green", "blue", "purple", "black"};
inline constexpr std::array<std::string_view, 4> shapes = {"circle", "square", "triangle", "cross"};
inline constexpr std::array<std::string_view, 4> relations = {"left of", "right of", "above", "below"};

// Where a thing is and what: lengths in 1/512 of the picture's side. It fills the box x - r .. x + r, y - r .. y + r; y points down.
struct Thing {
  int size, colour, shape;  // of the lists above
  int x, y, r;
  bool size_said = true;    // "a small red circle", or "a red circle"
};

struct Scene {
  std::vector<Thing> things;  // one or two, apart from each other, different in colour or shape
  int relation = 0;           // of the first to the second
};

Scene random_scene(const Rng& rng);
std::string caption_of(const Scene& scene);
enum class Drawing { filled, hollow };  // two styles; the judge below knows things that are filled
io::Image draw_scene(const Scene& scene, Index side, Drawing drawing = Drawing::filled);  // white ground, edges smoothed; side: 32 to 4096

// What a caption claims. Error{input}: not a caption of this kind; names the word.
struct Claim {
  struct Thing {
    int size, colour, shape;  // size -1: not said
  };
  std::vector<Thing> things;
  int relation = -1;          // -1: one thing
  std::string text() const;
};
Claim parse_claim(std::string_view caption);
// Each claim that differs in one attribute it makes: size, colour, shape of a thing, or the relation.
std::vector<Claim> one_change(const Claim& claim);

// Every spot of a known colour, as the shape whose own drawing comes nearest to it.
struct Seen {
  std::vector<Thing> things;
  std::string unclear;  // not empty: why the picture is none of these scenes
};
Seen see(const io::Image& picture);  // square, 32 pixels or more a side

struct Verdict {
  bool holds;
  std::string why;  // if it does not: what it shows instead
};
// A picture holds a claim if it shows these things and no others, in that relation; what is not said may be anything.
Verdict judge(const Seen& seen, const Claim& claim);
inline Verdict judge(const io::Image& picture, const Claim& claim) { return judge(see(picture), claim); }

}  // namespace sspo::scenes
