#include "cli/files.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include <stb_image_write.h>

namespace sspo::cli {
namespace fs = std::filesystem;

void write_file(const fs::path& path, std::string_view bytes) {
  const fs::path part = path.string() + ".tmp";
  std::FILE* file = std::fopen(part.c_str(), "wb");
  bool good = file && std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size() && std::fflush(file) == 0 && fsync(fileno(file)) == 0;
  int reason = good ? 0 : errno;
  if (file && std::fclose(file) != 0 && good) good = false, reason = errno;
  if (good && std::rename(part.c_str(), path.c_str()) != 0) good = false, reason = errno;
  if (good) return;
  if (file) std::remove(part.c_str());
  fail({.what = path.string() + ": cannot be written: " + std::strerror(reason), .kind = ErrorKind::io}, Site{});
}

void make_output_folder(const fs::path& folder, bool force) {
  std::error_code error;
  if (fs::exists(folder, error) && !fs::is_directory(folder, error))
    fail({.what = folder.string() + ": is not a folder"}, Site{});
  fs::create_directories(folder, error);
  const bool empty = !error && fs::is_empty(folder, error);
  if (error) fail({.what = folder.string() + ": " + error.message(), .kind = ErrorKind::io}, Site{});
  if (!empty && !force) fail({.what = folder.string() + ": has content already; --force writes over it"}, Site{});
}

Picture contact_sheet(const Tensor& pictures, int columns, int zoom) {
  const auto [count, height, width, channels] = pictures.dims<4>();
  const std::vector<float> values = pictures.to_vector<float>();
  const int gap = 2 * zoom, cell_w = int(width) * zoom + gap, cell_h = int(height) * zoom + gap;
  Picture sheet{columns * cell_w + gap, (int(count) + columns - 1) / columns * cell_h + gap, {}};
  sheet.rgb.assign(std::size_t(sheet.width) * std::size_t(sheet.height) * 3, 255);
  for (int i = 0; i < int(count); ++i)
    for (int y = 0; y < int(height) * zoom; ++y)
      for (int x = 0; x < int(width) * zoom; ++x)
        for (int c = 0; c < 3; ++c) {
          const int row = gap + i / columns * cell_h + y, column = gap + i % columns * cell_w + x;
          const float v = values[std::size_t(((i * height + y / zoom) * width + x / zoom) * channels + c)];
          sheet.rgb[std::size_t((row * sheet.width + column) * 3 + c)] = std::uint8_t(std::lround(127.5f * (std::clamp(v, -1.0f, 1.0f) + 1)));
        }
  return sheet;
}

Picture side_by_side(const std::vector<Picture>& pictures, int gap) {
  Picture all{-gap, pictures.at(0).height, {}};
  for (const Picture& p : pictures) all.width += p.width + gap;
  all.rgb.assign(std::size_t(all.width) * std::size_t(all.height) * 3, 255);
  std::size_t left = 0;
  for (const Picture& p : pictures) {
    const std::size_t row = std::size_t(p.width) * 3;
    for (std::size_t y = 0; y < std::size_t(p.height); ++y)
      std::copy_n(p.rgb.data() + y * row, row, all.rgb.data() + (y * std::size_t(all.width) + left) * 3);
    left += std::size_t(p.width + gap);
  }
  return all;
}

std::string png(const Picture& p) {
  std::string bytes;
  const auto append = [](void* to, void* data, int size) { static_cast<std::string*>(to)->append(static_cast<const char*>(data), std::size_t(size)); };
  if (!stbi_write_png_to_func(append, &bytes, p.width, p.height, 3, p.rgb.data(), p.width * 3))
    fail({.op = "png", .what = "the picture cannot be encoded", .kind = ErrorKind::internal});
  return bytes;
}

}  // namespace sspo::cli
