// PNG (ISO 15948 / RFC 2083): a signature, then chunks of length, type, data, CRC.
#pragma once
#include <cstdlib>

#include "sspo/io/image.hpp"

namespace sspo::io::png {

inline constexpr std::string_view signature{"\x89PNG\r\n\x1a\n", 8};

enum Colour : unsigned { grey = 0, rgb = 2, palette = 3, grey_alpha = 4, rgba = 6 };

struct File {
  std::uint32_t width, height;
  unsigned depth;                       // bits a sample: 1, 2, 4, 8, 16
  Colour colour;
  bool interlaced;
  std::string_view colours{};           // PLTE: 3 bytes an entry
  std::string_view transparency{};      // tRNS: alpha of the first entries; of grey and RGB the one value that is transparent
  std::string_view data{};              // the chunks IDAT, one after the other: the pieces of one zlib stream
  std::vector<ImageText> texts{};
  std::string_view exif{};
  unsigned channels() const { return colour == grey || colour == palette ? 1 : colour == grey_alpha ? 2 : colour == rgb ? 3 : 4; }
};

// What filter 1 to 4 expects of a byte, from the same byte of the pixel to the left, above, and above left.
inline int predicted(unsigned filter, int left, int above, int corner) {
  if (filter < 4) return filter == 1 ? left : filter == 2 ? above : (left + above) / 2;
  const int p = left + above - corner, a = std::abs(p - left), b = std::abs(p - above), c = std::abs(p - corner);  // Paeth
  return a <= b && a <= c ? left : b <= c ? above : corner;
}

std::uint32_t read_u32(std::string_view bytes, std::size_t at);  // big-endian
// Checks the order of the chunks and every CRC; the limits at IHDR, before anything else is read.
File parse(std::string_view bytes, const Place& place, const ImageLimits& limits);
Image decode(const File& file, const Place& place);
// How much of what lies under it each pixel covers, [height, width]: 255 all of it, and where nothing is said.
std::vector<std::uint8_t> decode_alpha(const File& file, const Place& place);

}  // namespace sspo::io::png

namespace sspo::io {
// Error{file} beyond the limits; `bytes`: memory that decoding takes.
void check_image_size(std::uint64_t width, std::uint64_t height, std::uint64_t bytes, const Place& place, const ImageLimits& limits);
// EXIF's tag 0x0112 in the first directory of a TIFF structure: 1 to 8; 1 if it is not there or makes no sense.
int exif_orientation(std::string_view tiff);
}  // namespace sspo::io
