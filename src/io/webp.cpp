#include "io/webp.hpp"

#ifdef SSPO_WEBP
#include <webp/decode.h>
#endif

#include "io/png.hpp"

namespace sspo::io::webp {

#ifdef SSPO_WEBP
namespace {

std::uint64_t u32(std::string_view bytes, std::size_t at) {  // little-endian
  std::uint64_t v = 0;
  for (std::size_t i = 4; i-- > 0;) v = v << 8 | static_cast<unsigned char>(bytes[at + i]);
  return v;
}

// The content of the first chunk of that name (RFC 9649, 2.3: name, length, bytes, one of padding); empty if there is none.
std::string_view chunk(std::string_view file, std::string_view name) {
  for (std::string_view rest = file.substr(12); rest.size() >= 8;) {
    const std::uint64_t length = u32(rest, 4);
    if (length > rest.size() - 8) break;
    if (rest.starts_with(name)) return rest.substr(8, length);
    rest.remove_prefix(std::min<std::uint64_t>(rest.size(), 8 + length + length % 2));
  }
  return {};
}

[[noreturn]] void refuse(VP8StatusCode status, const Place& place) {
  if (status == VP8_STATUS_NOT_ENOUGH_DATA) bad_file(place, "the picture is cut short");
  if (status == VP8_STATUS_OUT_OF_MEMORY) fail({.op = "webp", .what = "the system has no memory left", .kind = ErrorKind::memory}, Site{});
  bad_file(place, "the WebP data are damaged");
}

// The picture's own bytes, without what may follow it in the file.
std::string_view whole(std::string_view bytes, const Place& place) {
  if (bytes.size() < 12) bad_file(place, "the picture is cut short");
  const std::uint64_t size = 8 + u32(bytes, 4);
  if (size > bytes.size()) bad_file(place, "the picture is cut short", std::to_string(size) + " bytes", std::to_string(bytes.size()));
  return bytes.substr(0, size);
}

WebPBitstreamFeatures header(std::string_view bytes, const Place& place, const ImageLimits& limits) {
  WebPBitstreamFeatures f;
  if (const auto status = WebPGetFeatures(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(), &f); status != VP8_STATUS_OK) refuse(status, place);
  if (f.has_animation) bad_file(place, "an animated WebP", "a still picture", {}, "ffmpeg or webpmux -get frame N takes a frame out");
  const std::uint64_t pixels = std::uint64_t(f.width) * std::uint64_t(f.height);
  // RGB, and beside it: without loss the picture as 32 bits a pixel, else its alpha; and some rows.
  const std::uint64_t bytes_needed = (f.format == 2 ? 7 : f.has_alpha ? 4 : 3) * pixels + 4096 * std::uint64_t(f.width) / 16;
  check_image_size(std::uint64_t(f.width), std::uint64_t(f.height), bytes_needed, place, limits);
  return f;
}

}  // namespace

ImageInfo info(std::string_view bytes, const Place& place, const ImageLimits& limits) {
  const std::string_view file = whole(bytes, place);
  const WebPBitstreamFeatures f = header(file, place, limits);
  std::string_view exif = chunk(file, "EXIF");
  if (exif.starts_with(std::string_view("Exif\0\0", 6))) exif.remove_prefix(6);
  return {"WebP", f.width, f.height, f.has_alpha ? 4 : 3, 8, exif_orientation(exif)};
}

Image decode(std::string_view bytes, const Place& place, const ImageLimits& limits) {
  const std::string_view file = whole(bytes, place);
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) fail({.op = "webp", .what = "another version of libwebp than this was built with", .kind = ErrorKind::internal}, Site{});
  config.input = header(file, place, limits);
  Image image = make_image(config.input.width, config.input.height);
  config.output.colorspace = MODE_RGB;  // alpha is dropped, not multiplied
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {image.rgb.data(), int(3 * image.width), image.rgb.size()};
  const VP8StatusCode status = WebPDecode(reinterpret_cast<const std::uint8_t*>(file.data()), file.size(), &config);
  if (status != VP8_STATUS_OK) refuse(status, place);
  return image;
}

#else

namespace {
[[noreturn]] void built_without(const Place& place) {
  bad_file(place, "a WebP picture, which this sspo was built without", "PNG or JPEG", {}, "install libwebp-dev and configure with -DSSPO_WEBP=ON");
}
}  // namespace

ImageInfo info(std::string_view, const Place& place, const ImageLimits&) { built_without(place); }
Image decode(std::string_view, const Place& place, const ImageLimits&) { built_without(place); }

#endif

}  // namespace sspo::io::webp
