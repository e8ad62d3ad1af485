#include <fmt/format.h>

#include "cli/inspection.hpp"
#include "sspo/io/image.hpp"

namespace sspo::cli {

Inspection inspect_picture(const std::string& path) {
  const io::ImageInfo info = io::read_image_info(path);
  io::read_image(path);  // a picture is whole if all of it can be decoded
  const std::uint64_t bytes = io::File(path).size();
  const std::string digest = sha256_of(path);
  Inspection r;
  r.json = {{"kind", "picture"}, {"path", io::printable(path, 4096)}, {"format", info.format}, {"width", info.width}, {"height", info.height},
            {"channels", info.channels}, {"bits", info.bits}, {"orientation", info.orientation}, {"bytes", bytes}, {"sha256", digest}, {"texts", io::Json::array()}};
  r.text = fmt::format("{}: {} picture, {} x {}, {} {} of {} bits, {}{}\nsha256    {}\n", io::printable(path, 4096), info.format, info.width, info.height,
                       info.channels, info.channels == 1 ? "channel" : "channels", info.bits, size_text(bytes),
                       info.orientation == 1 ? "" : fmt::format(", EXIF orientation {}", info.orientation), digest);
  for (const io::ImageText& t : info.texts) {
    r.json["texts"].push_back({{"key", t.key}, {"text", t.text}});
    for (std::size_t at = 0; at <= t.text.size();) {  // a line each, whatever else is in it
      const std::size_t end = std::min(t.text.find('\n', at), t.text.size());
      r.text += fmt::format("{:<9} {}\n", at ? "" : io::printable(t.key), io::printable(std::string_view(t.text).substr(at, end - at), 1u << 20));
      at = end + 1;
    }
  }
  return r;
}

}  // namespace sspo::cli
