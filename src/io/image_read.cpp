// Which format, how large, which way up.
#include <algorithm>

#include "io/jpeg.hpp"
#include "io/png.hpp"
#include "io/webp.hpp"

namespace sspo::io {
namespace {

constexpr std::uint64_t most_file_bytes = std::uint64_t(256) << 20;

enum class Format { png, jpeg, webp };

Format format_of(std::string_view bytes, const Place& place) {
  if (bytes.starts_with(png::signature)) return Format::png;
  if (bytes.starts_with("\xff\xd8\xff")) return Format::jpeg;
  if (webp::is_webp(bytes)) return Format::webp;
  const char* what = bytes.starts_with("GIF8") ? "GIF"
                     : bytes.starts_with("BM") ? "BMP"
                     : bytes.empty()           ? "an empty file"
                                               : nullptr;
  bad_file(place, "unsupported format of picture", "PNG, JPEG or WebP", what ? what : std::string(bytes.substr(0, 8)));
}

// EXIF 2.3, tag Orientation: which sides of the stored picture the first row and the first column of the scene are.
// 5 to 8 lie on their side.
Image upright(Image image, int orientation, const Place& place, const ImageLimits& limits) {
  if (orientation == 1) return image;
  const Index w = image.width, h = image.height;
  check_image_size(std::uint64_t(w), std::uint64_t(h), 2 * image.rgb.size(), place, limits);
  const bool turned = orientation >= 5;
  Image out = make_image(turned ? h : w, turned ? w : h);
  for (Index y = 0; y < out.height; ++y)
    for (Index x = 0; x < out.width; ++x) {
      Index from_x = turned ? y : x, from_y = turned ? x : y;
      if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8) from_x = w - 1 - from_x;
      if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7) from_y = h - 1 - from_y;
      std::copy_n(image.at(from_x, from_y), 3, out.at(x, y));
    }
  return out;
}

std::string content(const std::string& path) { return File(path).text(most_file_bytes); }

}  // namespace

void check_image_size(std::uint64_t width, std::uint64_t height, std::uint64_t bytes, const Place& place, const ImageLimits& limits) {
  const std::string size = std::to_string(width) + " x " + std::to_string(height) + " pixels";
  if (width == 0 || height == 0) bad_file(place, "an empty picture", "at least one pixel", size);
  if (width > std::uint64_t(limits.side) || height > std::uint64_t(limits.side))
    bad_file(place, "the picture is too large", "at most " + std::to_string(limits.side) + " a side", size);
  if (width * height > std::uint64_t(limits.pixels)) bad_file(place, "the picture is too large", "at most " + std::to_string(limits.pixels) + " pixels", size);
  if (bytes > limits.bytes)
    bad_file(place, "the picture needs too much memory", "at most " + std::to_string(limits.bytes) + " bytes", std::to_string(bytes) + " for " + size);
}

int exif_orientation(std::string_view tiff) {
  const bool little = tiff.starts_with(std::string_view("II*\0", 4));
  if (!little && !tiff.starts_with(std::string_view("MM\0*", 4))) return 1;
  const auto number = [&](std::size_t at, std::size_t bytes) -> std::uint64_t {  // 0 beyond the end
    std::uint64_t v = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
      const std::size_t from = at + (little ? bytes - 1 - i : i);
      v = v << 8 | (from < tiff.size() ? static_cast<unsigned char>(tiff[from]) : 0u);
    }
    return v;
  };
  const std::size_t directory = number(4, 4), entries = number(directory, 2);
  for (std::size_t i = 0; i < entries && directory + 2 + 12 * i < tiff.size(); ++i) {
    const std::size_t entry = directory + 2 + 12 * i;  // tag, type (3: 16 bits), count, value
    if (number(entry, 2) != 0x0112 || number(entry + 2, 2) != 3) continue;
    const std::uint64_t v = number(entry + 8, 2);
    return v >= 1 && v <= 8 ? int(v) : 1;
  }
  return 1;
}

Image decode_image(std::string_view bytes, const Place& place, const ImageLimits& limits) {
  switch (format_of(bytes, place)) {
    case Format::png: {
      const png::File file = png::parse(bytes, place, limits);
      return upright(png::decode(file, place), exif_orientation(file.exif), place, limits);
    }
    case Format::webp: return upright(webp::decode(bytes, place, limits), webp::info(bytes, place, limits).orientation, place, limits);
    default: return upright(jpeg::decode(bytes, place, limits), jpeg::info(bytes, place, limits).orientation, place, limits);
  }
}

ImageInfo image_info(std::string_view bytes, const Place& place, const ImageLimits& limits) {
  switch (format_of(bytes, place)) {
    case Format::png: {
      png::File f = png::parse(bytes, place, limits);
      return {"PNG", f.width, f.height, int(f.channels()), int(f.depth), exif_orientation(f.exif), std::move(f.texts)};
    }
    case Format::webp: return webp::info(bytes, place, limits);
    default: return jpeg::info(bytes, place, limits);
  }
}

Image read_image(const std::string& path, const ImageLimits& limits) { return decode_image(content(path), {.path = path}, limits); }
ImageInfo read_image_info(const std::string& path, const ImageLimits& limits) { return image_info(content(path), {.path = path}, limits); }

}  // namespace sspo::io
