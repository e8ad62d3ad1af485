// The pixels of a PNG: one zlib stream of rows, each predicted by a filter from its neighbours (ISO 15948, 9).
#include <zlib.h>

#include <algorithm>

#include "io/png.hpp"

namespace sspo::io::png {
namespace {

// The pieces of the stream, inflated as they are asked for.
class Rows {
 public:
  Rows(const File& file, const Place& place) : left_(file.data), place_(place) {
    if (inflateInit(&z_) != Z_OK) fail({.op = "png", .what = "zlib cannot start", .kind = ErrorKind::memory}, Site{});
  }
  ~Rows() { inflateEnd(&z_); }
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;

  void read(std::uint8_t* to, std::size_t bytes) {
    z_.next_out = to;
    z_.avail_out = static_cast<uInt>(bytes);
    while (z_.avail_out > 0) {
      if (ended_) damaged("the data end before the picture");
      step();
    }
  }
  // To the stream's end, which holds its checksum. Data beyond the last row are passed over, as other readers do.
  void finish() {
    std::uint8_t beyond[256];
    while (!ended_) {
      z_.next_out = beyond;
      z_.avail_out = sizeof beyond;
      step();
      if (z_.avail_out == 0) return;
    }
  }

 private:
  void step() {
    while (z_.avail_in == 0 && !left_.empty()) {  // length, type, data, CRC
      const std::size_t length = read_u32(left_, 0);
      z_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(left_.data() + 8));
      z_.avail_in = static_cast<uInt>(length);
      left_.remove_prefix(length + 12);
    }
    if (z_.avail_in == 0) damaged("the data end before the picture");
    const int status = inflate(&z_, Z_NO_FLUSH);
    if (status == Z_STREAM_END) ended_ = true;
    else if (status != Z_OK && status != Z_BUF_ERROR) damaged("the compressed data are damaged");
  }
  [[noreturn]] void damaged(const char* what) const { bad_file(place_.in("IDAT"), what); }

  std::string_view left_;
  const Place& place_;
  z_stream z_{};
  bool ended_ = false;
};

// row += prediction from the row above (zeros at first) and the pixel before, `step` bytes back.
void unfilter(unsigned filter, std::uint8_t* row, const std::uint8_t* above, std::size_t bytes, std::size_t step) {
  for (std::size_t i = 0; i < bytes; ++i) {
    const int left = i >= step ? row[i - step] : 0, corner = i >= step ? above[i - step] : 0;
    row[i] = static_cast<std::uint8_t>(row[i] + predicted(filter, left, above[i], corner));
  }
}

enum class Plane { colour, alpha };  // alpha: three times the same

// Pixels of a row to RGB, `stride` bytes apart.
void spread(const File& f, Plane plane, const std::uint8_t* row, std::uint32_t width, std::uint8_t* to, std::size_t stride, const Place& place) {
  const unsigned n = f.channels(), alpha = plane == Plane::alpha && f.colour != palette ? n - 1 : 0, mask = (1u << (f.depth < 8 ? f.depth : 8)) - 1;
  const std::size_t bytes = f.depth == 16 ? 2 : 1;
  for (std::uint32_t x = 0; x < width; ++x, to += stride) {
    if (f.depth < 8) {
      const std::size_t bit = std::size_t(x) * f.depth;
      const unsigned v = row[bit / 8] >> (8 - f.depth - bit % 8) & mask;
      to[0] = static_cast<std::uint8_t>(f.colour == palette ? v : v * 255 / mask);
    } else {
      to[0] = row[(std::size_t(x) * n + alpha) * bytes];
    }
    if (f.colour == palette) {
      const std::size_t entry = to[0];
      if (3 * entry >= f.colours.size()) bad_file(place.in("IDAT"), "a pixel's colour is not in the palette", "less than " + std::to_string(f.colours.size() / 3), std::to_string(entry));
      for (std::size_t c = 0; c < 3; ++c) to[c] = static_cast<std::uint8_t>(f.colours[3 * entry + c]);
    } else {
      for (std::size_t c = 1; c < 3; ++c) to[c] = n < 3 || alpha ? to[0] : row[(std::size_t(x) * n + c) * bytes];
    }
  }
}

struct Pass {
  std::uint32_t x, y, dx, dy;
};
// Adam7: seven pictures, each every dx-th pixel of every dy-th row.
constexpr Pass adam7[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};

void read_pass(const File& f, Plane plane, const Pass& pass, Rows& rows, Image& image, const Place& place) {
  if (f.width <= pass.x || f.height <= pass.y) return;
  const std::uint32_t width = (f.width - pass.x + pass.dx - 1) / pass.dx;
  const std::size_t bits = f.channels() * f.depth, bytes = (std::size_t(width) * bits + 7) / 8, step = (bits + 7) / 8;
  std::vector<std::uint8_t> row(bytes), above(bytes, 0);
  for (std::uint32_t y = pass.y; y < f.height; y += pass.dy) {
    std::uint8_t filter = 0;
    rows.read(&filter, 1);
    rows.read(row.data(), bytes);
    if (filter > 4) bad_file(place.in("IDAT"), "unknown filter", "0 to 4", std::to_string(filter));
    if (filter) unfilter(filter, row.data(), above.data(), bytes, step);
    spread(f, plane, row.data(), width, image.at(pass.x, y), 3 * pass.dx, place);
    row.swap(above);
  }
}

// A palette whose colours are the alphas of the entries; those beyond the chunk are opaque.
std::string alphas(const File& f) {
  std::string three(f.colours.size(), '\xff');
  for (std::size_t i = 0; i < three.size() && i / 3 < f.transparency.size(); ++i) three[i] = f.transparency[i / 3];
  return three;
}

Image decode_plane(const File& file, Plane plane, const Place& place) {
  File f = file;
  std::string entries;
  if (plane == Plane::alpha && f.colour == palette) f.colours = entries = alphas(f);
  Image image = make_image(f.width, f.height);
  Rows rows(f, place);
  if (f.interlaced)
    for (const Pass& pass : adam7) read_pass(f, plane, pass, rows, image, place);
  else
    read_pass(f, plane, {0, 0, 1, 1}, rows, image, place);
  rows.finish();
  return image;
}

// Grey and RGB: one value, two bytes a channel, is transparent, all others cover.
std::vector<std::uint8_t> around_key(const File& f, std::vector<std::uint8_t> alpha, const Place& place) {
  const std::size_t channels = f.channels();
  if (f.transparency.size() != 2 * channels) bad_file(place.in("tRNS"), "wrong length", std::to_string(2 * channels) + " bytes", std::to_string(f.transparency.size()));
  if (f.depth == 16) bad_file(place.in("tRNS"), "transparency of one colour of 16 bits a channel is not supported", "up to 8 bits");
  const unsigned most = (1u << f.depth) - 1;
  std::uint8_t key[3];
  for (std::size_t c = 0; c < 3; ++c) key[c] = static_cast<std::uint8_t>((static_cast<unsigned char>(f.transparency[2 * (c % channels) + 1]) & most) * 255 / most);
  const Image colours = decode_plane(f, Plane::colour, place);
  for (std::size_t i = 0; i < alpha.size(); ++i)
    if (std::equal(key, key + 3, colours.rgb.begin() + std::ptrdiff_t(3 * i))) alpha[i] = 0;
  return alpha;
}

}  // namespace

Image decode(const File& file, const Place& place) { return decode_plane(file, Plane::colour, place); }

std::vector<std::uint8_t> decode_alpha(const File& file, const Place& place) {
  const bool channel = file.colour == grey_alpha || file.colour == rgba;
  std::vector<std::uint8_t> alpha(std::size_t(file.width) * file.height, 255);
  if (!channel && file.transparency.empty()) return alpha;
  if (!channel && file.colour != palette) return around_key(file, std::move(alpha), place);
  const Image spread = decode_plane(file, Plane::alpha, place);
  for (std::size_t i = 0; i < alpha.size(); ++i) alpha[i] = spread.rgb[3 * i];
  return alpha;
}

}  // namespace sspo::io::png
