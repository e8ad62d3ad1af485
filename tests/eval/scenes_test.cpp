#include "sspo/eval/scenes.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "sspo/io/hash.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::scenes;
using testing::check_error;

namespace {

Verdict verdict(const io::Image& picture, const std::string& caption) { return judge(picture, parse_claim(caption)); }

io::Image noisy(io::Image image, const Rng& rng, int most) {
  for (std::size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = std::uint8_t(std::clamp<Index>(image.rgb[i] + rng.below(2 * most + 1, i) - most, 0, 255));
  return image;
}

Scene one_thing(int size, int colour, int shape) { return {{{.size = size, .colour = colour, .shape = shape, .x = 256, .y = 240, .r = size ? 112 : 48}}}; }

}  // namespace

TEST_CASE("scenes: the judge says yes to each picture and no to every change of one attribute") {
  Index changes = 0;
  for (Index i = 0; i < 300; ++i) {
    const Scene scene = random_scene(Rng(1) / i);
    const Claim claim = parse_claim(caption_of(scene));
    const Seen seen = see(draw_scene(scene, 32));
    const Verdict yes = judge(seen, claim);
    CHECK_MESSAGE(yes.holds, caption_of(scene) << ": " << yes.why);
    for (const Claim& other : one_change(claim)) {
      const Verdict no = judge(seen, other);
      CHECK_MESSAGE(!no.holds, "'" << other.text() << "' for '" << caption_of(scene) << "'");
      CHECK_FALSE(no.why.empty());
      ++changes;
    }
  }
  CHECK(changes > 300 * 15);
}

TEST_CASE("scenes: at other sizes, blurred, noisy") {
  for (Index i = 0; i < 60; ++i) {
    const Scene scene = random_scene(Rng(2) / i);
    const std::string caption = caption_of(scene);
    for (const Index side : {40, 64, 100}) CHECK_MESSAGE(verdict(draw_scene(scene, side), caption).holds, caption << " at " << side);
    const io::Image small = io::resize(draw_scene(scene, 96), 32, 32, io::Filter::lanczos);
    CHECK_MESSAGE(verdict(small, caption).holds, caption << ": " << verdict(small, caption).why);
    const io::Image rough = noisy(draw_scene(scene, 32), Rng(3) / i, 12);
    CHECK_MESSAGE(verdict(rough, caption).holds, caption << ": " << verdict(rough, caption).why);
  }
}

TEST_CASE("scenes: every thing there is") {
  for (int size = 0; size < 2; ++size)
    for (int colour = 0; colour < int(colours.size()); ++colour)
      for (int shape = 0; shape < int(shapes.size()); ++shape) {
        const Scene scene = one_thing(size, colour, shape);
        CHECK(verdict(draw_scene(scene, 32), caption_of(scene)).holds);
      }
}

TEST_CASE("scenes: random ones keep apart and inside, and use everything") {
  std::map<std::string, int> seen;
  for (Index i = 0; i < 2000; ++i) {
    const Scene s = random_scene(Rng(4) / i);
    for (const Thing& t : s.things) {
      CHECK((t.x - t.r >= 16 && t.x + t.r <= 496 && t.y - t.r >= 16 && t.y + t.r <= 496));
      ++seen[std::string(sizes[std::size_t(t.size)])], ++seen[std::string(colours[std::size_t(t.colour)])], ++seen[std::string(shapes[std::size_t(t.shape)])];
    }
    ++seen[std::to_string(s.things.size())];
    if (s.things.size() < 2) continue;
    const Thing &a = s.things[0], &b = s.things[1];
    ++seen[std::string(relations[std::size_t(s.relation)])];
    CHECK((a.colour != b.colour || a.shape != b.shape));
    CHECK(std::max(std::abs(a.x - b.x), std::abs(a.y - b.y)) >= a.r + b.r + 32);
  }
  CHECK(seen.size() == 2 + 7 + 4 + 2 + 4);
  for (const auto& times : seen) CHECK_MESSAGE(times.second > 200, times.first << " " << times.second);
}

TEST_CASE("scenes: the same bits on every machine") {
  io::Sha256 hash;
  for (Index i = 0; i < 50; ++i) {
    const Scene scene = random_scene(Rng(5) / i);
    const io::Image picture = draw_scene(scene, 32);
    hash.add(caption_of(scene));
    hash.add({reinterpret_cast<const char*>(picture.rgb.data()), picture.rgb.size()});
  }
  CHECK(hash.hex() == "0f20a80c92be3147cdf55278d21900862f57937aea5a08523c380108feea37bb");
}

TEST_CASE("scenes: what the judge says of pictures that show something else") {
  const io::Image blank = io::make_image(32, 32, 255);
  CHECK(verdict(blank, "a red circle").why == "it shows nothing");
  Scene scene = one_thing(0, 4, 1);
  CHECK(verdict(draw_scene(scene, 32), "a red circle").why == "it shows a small blue square");
  scene.things[0].x = 100;
  scene.things.push_back({.size = 1, .colour = 0, .shape = 0, .x = 350, .y = 240, .r = 112});
  const io::Image two = draw_scene(scene, 32);
  CHECK(verdict(two, "a small blue square left of a large red circle").holds);
  CHECK(verdict(two, "a red circle right of a blue square").holds);
  CHECK(verdict(two, "a blue square").why == "it shows a large red circle, a small blue square, the first right of the second");
  io::Image stripe = blank;
  for (Index x = 2; x < 30; ++x)
    for (Index y = 14; y < 18; ++y) std::copy_n(std::array<std::uint8_t, 3>{220, 40, 40}.data(), 3, stripe.at(x, y));
  CHECK(verdict(stripe, "a red square").why == "a red spot has none of the shapes");
  CHECK(verdict(io::make_image(32, 16, 255), "a red circle").why.find("not square") != std::string::npos);
  io::Image black = io::make_image(32, 32, 0);
  CHECK_FALSE(verdict(black, "a black circle").holds);
}

TEST_CASE("claims: words and back") {
  const Claim claim = parse_claim("a small red circle left of an orange square");
  CHECK(claim.text() == "a small red circle left of an orange square");
  CHECK(one_change(claim).size() == 1 + 6 + 3 + 6 + 3 + 3);
  CHECK(one_change(parse_claim("a large red cross")).size() == 1 + 6 + 3);
  CHECK(one_change(parse_claim("a red cross")).front().text() == "an orange cross");
  const auto refused = [](const char* caption, std::initializer_list<const char*> parts) { check_error([&] { parse_claim(caption); }, parts); };
  refused("", {"caption '': a thing is missing", "expected  a or an", "got       the end"});
  refused("a pink circle", {"no colour", "red, orange, yellow", "'pink'"});
  refused("a red circles", {"no shape", "'circles'"});
  refused("a red circle near a blue square", {"no relation", "'near'"});
  refused("a red circle left of", {"a thing is missing", "the end"});
  refused("a red circle above a blue square above a red cross", {"too many words"});
  refused("a orange circle", {"not the form expected", "'an orange circle'"});
  refused("a red circle ", {"not the form expected"});
  check_error([] { draw_scene(one_thing(0, 0, 0), 16); }, {"no such side", "32 to 4096"});
}
