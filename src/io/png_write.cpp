#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "io/png.hpp"
#include "io/text.hpp"

namespace sspo::io {
namespace {

[[noreturn]] void cannot_write(const char* what, std::string got) {
  fail({.op = "encode_png", .what = what, .got = std::move(got)}, Site{});
}

std::string u32(std::uint32_t v) {
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8), static_cast<char>(v)};
}

void append_chunk(std::string& out, std::string_view type, std::string_view data) {
  const std::size_t begin = out.size() + 4;
  out += u32(static_cast<std::uint32_t>(data.size()));
  out += type;
  out += data;
  out += u32(static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(out.data() + begin), out.size() - begin)));
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

void append_text(std::string& out, const ImageText& t) {
  const bool printable_key = std::all_of(t.key.begin(), t.key.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
  if (t.key.empty() || t.key.size() > 79 || !printable_key || t.key.front() == ' ' || t.key.back() == ' ' || t.key.find("  ") != std::string::npos)
    cannot_write("a keyword must be 1 to 79 printable ASCII characters, blanks single and inside", "\"" + printable(t.key) + "\"");
  if (t.text.find('\0') != std::string::npos || find_bad_utf8(t.text) != std::string_view::npos || t.text.size() > 16u << 20)
    cannot_write("a text must be UTF-8 without NUL, of at most 16 MiB", "the text of \"" + t.key + "\"");
  using namespace std::string_literals;
  if (is_ascii(t.text)) append_chunk(out, "tEXt", t.key + "\0"s + t.text);
  else append_chunk(out, "iTXt", t.key + "\0\0\0\0\0"s + t.text);  // not packed, no language, no translated key
}

// The row as differences from what the filter predicts, its number before it.
void filter_row(unsigned filter, const std::uint8_t* row, const std::uint8_t* above, std::size_t bytes, std::uint8_t* out) {
  *out++ = static_cast<std::uint8_t>(filter);
  for (std::size_t i = 0; i < bytes; ++i) {
    const int left = i >= 3 ? row[i - 3] : 0, up = above ? above[i] : 0, corner = above && i >= 3 ? above[i - 3] : 0;
    out[i] = static_cast<std::uint8_t>(row[i] - (filter ? png::predicted(filter, left, up, corner) : 0));
  }
}

// The standard's rule of thumb (ISO 15948, 12.8): the filter whose differences, taken as signed, sum to the least.
std::string filtered_rows(const Image& image) {
  const std::size_t bytes = 3 * std::size_t(image.width);
  std::string all;
  all.reserve((bytes + 1) * std::size_t(image.height));
  std::vector<std::uint8_t> candidate(bytes + 1), best(bytes + 1);
  for (Index y = 0; y < image.height; ++y) {
    std::uint64_t least = ~std::uint64_t(0);
    for (unsigned filter = 0; filter < 5; ++filter) {
      filter_row(filter, image.at(0, y), y ? image.at(0, y - 1) : nullptr, bytes, candidate.data());
      std::uint64_t sum = 0;
      for (std::size_t i = 1; i <= bytes; ++i) sum += std::uint64_t(std::abs(int(static_cast<std::int8_t>(candidate[i]))));
      if (sum >= least) continue;
      least = sum;
      best.swap(candidate);
    }
    all.append(reinterpret_cast<const char*>(best.data()), best.size());
  }
  return all;
}

}  // namespace

std::string encode_png(const Image& image, const std::vector<ImageText>& texts) {
  constexpr Index largest = ImageLimits{}.side;
  if (image.width < 1 || image.height < 1 || image.width > largest || image.height > largest ||
      image.rgb.size() != std::size_t(3 * image.width * image.height))
    cannot_write("no picture of 1 to 16384 pixels a side, 3 bytes each", std::to_string(image.width) + " x " + std::to_string(image.height));
  std::string out(png::signature);
  append_chunk(out, "IHDR", u32(std::uint32_t(image.width)) + u32(std::uint32_t(image.height)) + std::string("\x08\x02\0\0\0", 5));
  for (const ImageText& t : texts) append_text(out, t);
  const std::string rows = filtered_rows(image);
  uLongf size = compressBound(rows.size());
  std::string packed(size, '\0');
  if (compress2(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(rows.data()), rows.size(), 6) != Z_OK)
    fail({.op = "encode_png", .what = "zlib has no memory", .kind = ErrorKind::memory}, Site{});
  for (std::size_t at = 0; at < size; at += 1u << 30) append_chunk(out, "IDAT", std::string_view(packed).substr(at, std::min<std::size_t>(1u << 30, size - at)));
  append_chunk(out, "IEND", {});
  return out;
}

void write_png(const std::string& path, const Image& image, const std::vector<ImageText>& texts) { write_file(path, encode_png(image, texts)); }

}  // namespace sspo::io
