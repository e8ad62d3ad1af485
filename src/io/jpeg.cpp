#include "io/jpeg.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

#include "io/png.hpp"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS 16384
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#endif
#include <stb_image.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace sspo::io::jpeg {
namespace {

// A progressive file may go over the whole picture again in each scan of a few bytes.
constexpr int most_scans = 64;

enum Marker : unsigned { sof0 = 0xc0, sof1 = 0xc1, sof2 = 0xc2, dht = 0xc4, jpg = 0xc8, dac = 0xcc, rst0 = 0xd0, soi = 0xd8, eoi = 0xd9, sos = 0xda, app1 = 0xe1 };

class Walk {
 public:
  Walk(std::string_view bytes, const Place& place, const ImageLimits& limits) : bytes_(bytes), place_(place), limits_(limits) {}

  File run() {
    for (unsigned marker = next_marker(); marker != eoi; marker = next_marker()) {
      if (marker >= rst0 && marker <= soi) refuse("a marker in the wrong place", hex(marker));
      const std::string_view data = segment();
      if (marker >= sof0 && marker <= 0xcf && marker != dht && marker != jpg && marker != dac) frame(marker, data);
      if (marker == app1 && data.substr(0, 6) == std::string_view("Exif\0\0", 6)) file_.orientation = exif_orientation(data.substr(6));
      if (marker != sos) continue;
      if (!file_.width) refuse("a scan before the frame's header");
      if (++scans_ > most_scans) refuse("too many scans", "more than " + std::to_string(most_scans));
      skip_scan();
    }
    if (scans_ == 0) refuse("the picture has no data");
    return file_;
  }

 private:
  static std::string hex(unsigned marker) {
    constexpr char digits[] = "0123456789abcdef";
    return {'F', 'F', ' ', digits[marker >> 4], digits[marker & 15]};
  }
  unsigned byte(std::size_t i) const { return static_cast<unsigned char>(bytes_[i]); }
  [[noreturn]] void refuse(std::string what, std::string got = {}) const {
    Place here = place_;
    here.at = "@" + std::to_string(at_);
    bad_file(here, std::move(what), {}, std::move(got));
  }
  void need(std::size_t count) const {
    if (bytes_.size() - at_ < count) refuse("the file is cut short");
  }
  unsigned next_marker() {  // FF, any number of times, then the marker
    need(2);
    if (byte(at_) != 0xff) refuse("no marker where one must be");
    while (at_ < bytes_.size() && byte(at_) == 0xff) ++at_;
    need(1);
    return byte(at_++);
  }
  std::string_view segment() {
    need(2);
    const std::size_t length = byte(at_) << 8 | byte(at_ + 1);
    if (length < 2) refuse("a segment's length is wrong");
    need(length);
    const std::string_view data = bytes_.substr(at_ + 2, length - 2);
    at_ += length;
    return data;
  }
  // Entropy-coded bytes end at a marker that is no stuffed zero and no restart.
  void skip_scan() {
    for (;; ++at_) {
      const void* ff = at_ < bytes_.size() ? std::memchr(bytes_.data() + at_, 0xff, bytes_.size() - at_) : nullptr;
      if (!ff || static_cast<const char*>(ff) + 1 == bytes_.data() + bytes_.size()) {
        at_ = bytes_.size();
        refuse("the file is cut short: the picture has no end marker");
      }
      at_ = std::size_t(static_cast<const char*>(ff) - bytes_.data());
      const unsigned next = byte(at_ + 1);
      if (next != 0 && next != 0xff && !(next >= rst0 && next < soi)) return;
    }
  }
  void frame(unsigned marker, std::string_view data) {
    if (marker != sof0 && marker != sof1 && marker != sof2)
      refuse("unsupported kind of JPEG (lossless, hierarchical or arithmetic)", hex(marker));
    if (file_.width) refuse("a second frame");
    const auto at = [&](std::size_t i) { return unsigned(static_cast<unsigned char>(data[i])); };
    if (data.size() < 6 || data.size() != 6 + 3 * std::size_t(at(5))) refuse("the frame's header has a wrong length");
    if (at(0) != 8) refuse("unsupported number of bits", std::to_string(at(0)));
    file_.height = at(1) << 8 | at(2), file_.width = at(3) << 8 | at(4), file_.channels = at(5);
    if (file_.channels != 1 && file_.channels != 3 && file_.channels != 4) refuse("unsupported number of channels", std::to_string(file_.channels));
    // Planes and result, or result and its copy; a progressive file keeps 2 bytes for each coefficient besides.
    const std::uint64_t pixel = marker == sof2 ? 3 * file_.channels + 3 : std::max(6u, file_.channels + 3);
    check_image_size(file_.width, file_.height, pixel * file_.width * file_.height, place_, limits_);
  }

  std::string_view bytes_;
  const Place& place_;
  const ImageLimits& limits_;
  std::size_t at_ = 2;
  int scans_ = 0;
  File file_{};
};

}  // namespace

File parse(std::string_view bytes, const Place& place, const ImageLimits& limits) { return Walk(bytes, place, limits).run(); }

Image decode(const File& file, std::string_view bytes, const Place& place) {
  if (bytes.size() > std::size_t(1) << 30) bad_file(place, "the file is too large", "at most 1 GiB");  // stb counts in int
  int width = 0, height = 0, channels = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(bytes.data()), int(bytes.size()), &width, &height, &channels, 3), stbi_image_free);
  if (!pixels || width != int(file.width) || height != int(file.height)) bad_file(place, "the JPEG data are damaged");
  return {width, height, {pixels.get(), pixels.get() + 3 * std::size_t(width) * std::size_t(height)}};
}

}  // namespace sspo::io::jpeg
