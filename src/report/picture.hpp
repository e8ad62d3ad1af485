// Pictures inside a page, as data.
//   Html h = picture(io::read_image("samples.png"), "samples, seed 1", {.zoom = 2});
#pragma once
#include <filesystem>
#include <optional>

#include "report/html.hpp"
#include "sspo/io/image.hpp"

namespace sspo::report {

std::string base64(std::string_view bytes);

// `zoom` screen pixels a pixel, fewer where the page is too narrow.
Html picture(const io::Image& image, std::string_view alt, int zoom = 1);

// The picture of a file, if it is there and can be read.
std::optional<io::Image> find_picture(const std::filesystem::path& path);

// Rows of pictures with words beneath: a grid of `columns` equal columns, the first row their titles.
struct PictureRows {
  std::vector<std::string> titles = {};  // of the columns
  struct Row {
    std::vector<Html> pictures = {};  // as many as there are columns
    std::string under = {};         // across the whole width
  };
  std::vector<Row> rows = {};
};
Html picture_rows(const PictureRows& p);

}  // namespace sspo::report
