// The bytes are a WebP. Accepted means: the size is the header's, within the limits, and the same pixels come out as PNG and in again.
#include <cstdlib>

#include "io/webp.hpp"

using namespace sspo;
using namespace sspo::io;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void read(std::string_view bytes) {
  const Place place{.path = "f"};
  const ImageLimits limits{.side = 512, .pixels = 1 << 16, .bytes = 4 << 20};
  try {
    const ImageInfo info = webp::info(bytes, place, limits);
    require(info.format == "WebP" && info.width <= limits.side && info.height <= limits.side && info.width * info.height <= limits.pixels);
    require(info.orientation >= 1 && info.orientation <= 8);
    const Image stored = webp::decode(bytes, place, limits), image = decode_image(bytes, place, limits);
    require(stored.width == info.width && stored.height == info.height && stored.rgb.size() == std::size_t(3 * info.width * info.height));
    require(image.rgb.size() == stored.rgb.size() && (info.orientation >= 5 ? image.width == info.height : image.width == info.width));
    require(decode_image(encode_png(image), place).rgb == image.rgb);
  } catch (const Error& e) {
    require(e.info().kind == ErrorKind::file && std::string_view(e.what()).find('\n') == std::string_view::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (!webp::is_webp(bytes)) return 0;  // decode_image told it from others
  read(bytes);
  std::string whole(bytes);  // as long as it says
  for (std::size_t i = 0; i < 4; ++i) whole[4 + i] = char((size - 8) >> 8 * i);
  read(whole);
  return 0;
}
