// The chunks of a PNG: what they say, in which order, and whether they arrived whole.
#include <zlib.h>

#include <algorithm>

#include "io/png.hpp"
#include "io/text.hpp"

namespace sspo::io::png {
namespace {

constexpr std::size_t longest_text = std::size_t(16) << 20, most_texts = 1000, longest_texts = std::size_t(64) << 20;  // the last: in all

Place at_byte(const Place& place, std::size_t at) {
  Place p = place;
  p.at = "@" + std::to_string(at);
  return p;
}

std::string latin1_to_utf8(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto b = static_cast<unsigned char>(c);
    if (b < 0x80) out += c;
    else out += {static_cast<char>(0xc0 | b >> 6), static_cast<char>(0x80 | (b & 0x3f))};
  }
  return out;
}

// A zlib stream of at most longest_text bytes once inflated.
std::string inflate_text(std::string_view packed, const Place& place) {
  z_stream z{};
  if (inflateInit(&z) != Z_OK) fail({.op = "png", .what = "zlib cannot start", .kind = ErrorKind::memory}, Site{});
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  z.avail_in = static_cast<uInt>(packed.size());
  std::string out;
  int status = Z_OK;
  while (status == Z_OK && out.size() <= longest_text) {
    char piece[16384];
    z.next_out = reinterpret_cast<Bytef*>(piece);
    z.avail_out = sizeof piece;
    status = inflate(&z, Z_NO_FLUSH);
    out.append(piece, sizeof piece - z.avail_out);
  }
  inflateEnd(&z);
  if (out.size() > longest_text) bad_file(place, "the text is too long", "at most " + std::to_string(longest_text) + " bytes");
  if (status != Z_STREAM_END) bad_file(place, "the compressed text is damaged");
  return out;
}

// tEXt: key 0 Latin-1.   zTXt: key 0 method zlib.   iTXt: key 0 packed method language 0 translated key 0 UTF-8.
ImageText text_chunk(std::string_view type, std::string_view data, const Place& place) {
  const auto part = [&] {  // up to the next NUL
    const std::size_t end = data.find('\0');
    if (end == data.npos) bad_file(place, "the text has no end of its keyword");
    const std::string_view s = data.substr(0, end);
    data.remove_prefix(end + 1);
    return s;
  };
  ImageText text{latin1_to_utf8(part()), {}};
  if (text.key.empty() || text.key.size() > 2 * 79) bad_file(place, "the keyword has a wrong length", "1 to 79 characters");
  bool packed = type == "zTXt";
  if (type != "tEXt") {
    const std::size_t flags = type == "zTXt" ? 1 : 2;
    if (data.size() < flags || static_cast<unsigned char>(data[0]) > 1 || data[flags - 1] != 0) bad_file(place, "unknown compression");
    packed = packed || data[0] == 1;
    data.remove_prefix(flags);
  }
  if (type == "iTXt") part(), part();
  if (data.size() > longest_text) bad_file(place, "the text is too long", "at most " + std::to_string(longest_text) + " bytes");
  text.text = packed ? inflate_text(data, place) : std::string(data);
  if (type != "iTXt") text.text = latin1_to_utf8(text.text);
  else if (find_bad_utf8(text.text) != std::string::npos) bad_file(place, "the text is not UTF-8");
  return text;
}

File header(std::string_view data, const Place& place, const ImageLimits& limits) {
  if (data.size() != 13) bad_file(place, "wrong length", "13 bytes", std::to_string(data.size()));
  const auto byte = [&](std::size_t i) { return unsigned(static_cast<unsigned char>(data[i])); };
  File f{read_u32(data, 0), read_u32(data, 4), byte(8), Colour(byte(9)), byte(12) == 1};
  const unsigned colour = byte(9), depth = f.depth;
  const bool fits = colour == grey      ? depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16
                    : colour == palette ? depth == 1 || depth == 2 || depth == 4 || depth == 8
                                        : (colour == rgb || colour == grey_alpha || colour == rgba) && (depth == 8 || depth == 16);
  if (!fits) bad_file(place, "no such kind of picture", {}, "colour type " + std::to_string(colour) + " with " + std::to_string(depth) + " bits");
  if (byte(10) || byte(11) || byte(12) > 1) bad_file(place, "unknown compression, filter or interlace method");
  check_image_size(f.width, f.height, 3 * std::uint64_t(f.width) * f.height + 16 * std::uint64_t(f.width), place, limits);
  return f;
}

void palette_chunk(File& f, std::string_view data, const Place& place) {
  if (!f.colours.empty() || !f.data.empty()) bad_file(place, "the palette is in the wrong place");
  if (data.empty() || data.size() % 3 || data.size() > 768) bad_file(place, "wrong length", "3 bytes for each of 1 to 256 colours", std::to_string(data.size()));
  if (f.colour == grey || f.colour == grey_alpha) bad_file(place, "a grey picture has no palette");
  f.colours = data;
}

}  // namespace

std::uint32_t read_u32(std::string_view bytes, std::size_t at) {
  std::uint32_t v = 0;
  for (std::size_t i = 0; i < 4; ++i) v = v << 8 | static_cast<unsigned char>(bytes[at + i]);
  return v;
}

File parse(std::string_view bytes, const Place& place, const ImageLimits& limits) {
  File f{};
  std::string_view previous;
  std::size_t text_bytes = 0;
  for (std::size_t at = signature.size(); previous != "IEND";) {
    if (bytes.size() - at < 12) bad_file(at_byte(place, at), "the file is cut short", "a chunk of PNG");
    const std::uint64_t length = read_u32(bytes, at);
    const std::string_view type = bytes.substr(at + 4, 4);
    const Place here = at_byte(place, at).in(type);
    if (length > bytes.size() - at - 12)
      bad_file(here, "the file is cut short", std::to_string(length) + " bytes of data", std::to_string(bytes.size() - at - 12));
    const std::string_view data = bytes.substr(at + 8, length);
    if (previous.empty() && type != "IHDR") bad_file(here, "the first chunk is not the header", "IHDR");
    const auto crc = crc32(0, reinterpret_cast<const Bytef*>(bytes.data() + at + 4), static_cast<uInt>(length + 4));
    if (crc != read_u32(bytes, at + 8 + length)) bad_file(here, "the checksum is wrong");
    if (type == "IHDR") {
      if (!previous.empty()) bad_file(here, "a second header");
      f = header(data, here, limits);
    } else if (type == "PLTE") {
      palette_chunk(f, data, here);
    } else if (type == "tRNS") {
      f.transparency = data;  // for those who ask for it: as a picture is mostly read, without, nothing in it is wrong
    } else if (type == "IDAT") {
      if (!f.data.empty() && previous != "IDAT") bad_file(here, "the picture's data are not in one run");
      const char* begin = f.data.empty() ? bytes.data() + at : f.data.data();
      f.data = {begin, std::size_t(data.data() + data.size() + 4 - begin)};
    } else if (type == "tEXt" || type == "zTXt" || type == "iTXt") {
      if (f.texts.size() >= most_texts) bad_file(here, "too many texts", "at most " + std::to_string(most_texts));
      f.texts.push_back(text_chunk(type, data, here));
      text_bytes += f.texts.back().text.size();
      if (text_bytes > longest_texts) bad_file(here, "the texts are too long", "at most " + std::to_string(longest_texts) + " bytes in all");
    } else if (type == "eXIf") {
      f.exif = data;
    } else if (type != "IEND" && !(type[0] & 0x20)) {
      bad_file(here, "an unknown chunk that must not be passed over");
    }
    previous = type;
    at += 12 + length;
  }
  if (f.data.empty()) bad_file(place, "the picture has no data", "a chunk IDAT");
  if (f.colour == palette && f.colours.empty()) bad_file(place, "the picture has no palette", "a chunk PLTE");
  return f;
}

}  // namespace sspo::io::png
