#include "report/picture.hpp"

#include <fmt/format.h>

namespace sspo::report {

std::string base64(std::string_view bytes) {
  static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t k) { return i + k < bytes.size() ? unsigned(std::uint8_t(bytes[i + k])) : 0u; };
    const unsigned word = byte(0) << 16 | byte(1) << 8 | byte(2);
    for (std::size_t k = 0; k < 4; ++k) out += i + k > bytes.size() ? '=' : digits[word >> (18 - 6 * k) & 63];
  }
  return out;
}

Html picture(const io::Image& image, std::string_view alt, int zoom) {
  return {fmt::format("<img src=\"data:image/png;base64,{}\" width=\"{}\" height=\"{}\" alt=\"{}\">\n", base64(io::encode_png(image)), image.width * zoom, image.height * zoom, text(alt).code)};
}

std::optional<io::Image> find_picture(const std::filesystem::path& path) {
  std::error_code none;
  if (!std::filesystem::is_regular_file(path, none)) return {};
  try {
    return io::read_image(path.string());
  } catch (const Error&) {
    return {};
  }
}

Html picture_rows(const PictureRows& p) {
  if (p.rows.empty()) return {};
  std::string code = fmt::format("<div class=\"pictures\" style=\"grid-template-columns:repeat({},minmax(0,1fr));max-width:{}px\">\n", p.titles.size(), p.titles.size() * 136);
  for (const std::string& t : p.titles) code += "<div><b>" + text(t).code + "</b></div>\n";
  for (const PictureRows::Row& row : p.rows) {
    for (const Html& h : row.pictures) code += "<div>" + h.code + "</div>\n";
    if (!row.under.empty()) code += "<div class=\"across\">" + text(row.under).code + "</div>\n";
  }
  return {code + "</div>\n"};
}

}  // namespace sspo::report
