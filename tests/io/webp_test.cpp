#include "io/webp.hpp"

#include "support.hpp"

using namespace sspo;
using namespace sspo::io;
using testing::check_error;

namespace {

const std::string golden = std::string(SSPO_SOURCE_DIR) + "/tests/golden/images/";
std::string content(const std::string& name) { return File(golden + name).text(1 << 20); }
void refused(std::string_view bytes, std::initializer_list<const char*> parts, const ImageLimits& limits = {}) {
  check_error([&] { decode_image(bytes, {.path = "f"}, limits); }, parts);
}

}  // namespace

#ifdef SSPO_WEBP
TEST_CASE("webp: every pixel as Pillow reads it, upright, alpha dropped") {
  for (const char* name : {"lossy.webp", "lossless.webp", "lossy_alpha.webp", "lossless_alpha.webp", "turned.webp"}) {
    INFO(name);
    const Image ours = read_image(golden + name), theirs = read_image(golden + name + ".png");
    CHECK(ours.width == theirs.width);
    CHECK(ours.height == theirs.height);
    CHECK(ours.rgb == theirs.rgb);
  }
  const ImageInfo turned = read_image_info(golden + "turned.webp"), clear = read_image_info(golden + "lossy_alpha.webp");
  CHECK(turned.format == "WebP");
  CHECK(turned.orientation == 6);
  CHECK(turned.width == 37);
  CHECK(turned.channels == 3);
  CHECK(clear.channels == 4);
  CHECK(clear.bits == 8);
}

TEST_CASE("webp: bad ones are refused at the header") {
  refused(content("animated.webp"), {"f: an animated WebP (expected a still picture); "});
  for (const char* name : {"lossy.webp", "lossless.webp", "lossy_alpha.webp", "lossless_alpha.webp"}) {
    INFO(name);
    const std::string whole = content(name);
    for (std::size_t size = 12; size + 1 < whole.size(); size += 7) {
      refused(whole.substr(0, size), {"f: the picture is cut short"});
      std::string lying = whole.substr(0, size);  // the file says that it is whole
      for (std::size_t i = 0; i < 4; ++i) lying[4 + i] = char((size - 8) >> 8 * i);
      INFO(size << " of " << whole.size());
      CHECK_THROWS_AS(decode_image(lying, {.path = "f"}), Error);
    }
    refused(whole, {"f: the picture is too large (expected at most 20 a side, got 37 x 27 pixels)"}, {.side = 20});
    refused(whole, {"f: the picture is too large (expected at most 900 pixels"}, {.pixels = 900});
    refused(whole, {"f: the picture needs too much memory"}, {.bytes = 3 * 37 * 27});
    CHECK(decode_image(whole + "more", {.path = "f"}).rgb == decode_image(whole, {.path = "f"}).rgb);
  }
  refused("RIFF\x10\0\0\0WEBP", {"f: "});
  std::string damaged = content("lossy.webp");
  damaged.replace(12, 4, "VP8?");
  refused(damaged, {"f: the WebP data are damaged"});
}
#else
TEST_CASE("webp: without libwebp it is said how to have it") {
  refused(content("lossy.webp"), {"f: a WebP picture, which this sspo was built without (expected PNG or JPEG); install libwebp-dev and configure with -DSSPO_WEBP=ON"});
}
#endif
