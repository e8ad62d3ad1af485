// The bytes are a picture. Accepted means: the size is the header's, and PNG carries the pixels and texts unchanged.
#include <zlib.h>

#include <cstdlib>

#include "io/png.hpp"

using namespace sspo;
using namespace sspo::io;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

// Mutated chunks with checksums that fit: else nothing behind the checksums is ever reached.
std::string with_checksums(std::string_view bytes) {
  std::string png(bytes);
  for (std::size_t at = 8; at + 12 <= png.size();) {
    const auto byte = [&](std::size_t i) { return std::size_t(static_cast<unsigned char>(png[at + i])); };
    const std::size_t length = byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
    if (length > png.size() - at - 12) break;
    const auto crc = crc32(0, reinterpret_cast<const Bytef*>(png.data() + at + 4), uInt(length + 4));
    for (std::size_t i = 0; i < 4; ++i) png[at + 8 + length + i] = char(crc >> (24 - 8 * i));
    at += 12 + length;
  }
  return png;
}

void read(std::string_view bytes) {
  const Place place{.path = "f"};
  const ImageLimits limits{.side = 512, .pixels = 1 << 16, .bytes = 4 << 20};
  try {
    const ImageInfo info = image_info(bytes, place, limits);
    const Image image = decode_image(bytes, place, limits);
    const bool turned = info.orientation >= 5;
    require(image.width == (turned ? info.height : info.width) && image.height == (turned ? info.width : info.height));
    require(image.rgb.size() == std::size_t(3 * image.width * image.height) && image.rgb.size() <= 3u << 16);
    const Image again = decode_image(encode_png(image), place);
    require(again.width == image.width && again.rgb == image.rgb);
    const std::string text = info.texts.empty() ? "" : info.texts[0].text;
    if (text.find('\0') == std::string::npos) require(image_info(encode_png(image, {{"k", text}}), place).texts.at(0).text == text);
    if (info.format == "PNG") require(png::decode_alpha(png::parse(bytes, place, limits), place).size() == std::size_t(info.width * info.height));
  } catch (const Error& e) {
    require(e.info().kind == ErrorKind::file && std::string_view(e.what()).find('\n') == std::string_view::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  read(bytes);
  if (bytes.substr(0, 4) == "\x89PNG") read(with_checksums(bytes));
  return 0;
}
