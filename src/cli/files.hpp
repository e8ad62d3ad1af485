// What the program leaves on disk: whole files, or none; and pictures as PNG.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "sspo/tensor/tensor.hpp"

namespace sspo::cli {

// Written beside its place and renamed into it. Throws Error (io) naming the path and the reason.
void write_file(const std::filesystem::path& path, std::string_view bytes);
// Makes the folder. Throws Error (input) if it has content and `force` is false, or is no folder.
void make_output_folder(const std::filesystem::path& folder, bool force);

struct Picture {
  int width = 0, height = 0;
  std::vector<std::uint8_t> rgb;  // row-major
};
// pictures [rows * columns, H, W, 3] in [-1, 1], row by row on a white sheet, every pixel `zoom` wide.
Picture contact_sheet(const Tensor& pictures, int columns, int zoom);
Picture side_by_side(const std::vector<Picture>& pictures, int gap);  // of equal height
std::string png(const Picture& picture);

}  // namespace sspo::cli
