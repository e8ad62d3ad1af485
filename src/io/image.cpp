#include "sspo/io/image.hpp"

#include <algorithm>
#include <cmath>

namespace sspo::io {
namespace {

std::string size_of(const Image& image) { return std::to_string(image.width) + " x " + std::to_string(image.height); }

void check_equal_sizes(const std::vector<Image>& images, const char* op) {
  if (images.empty()) fail({.op = op, .what = "no pictures"}, Site{});
  for (const Image& image : images)
    if (image.width != images[0].width || image.height != images[0].height)
      fail({.op = op, .what = "the pictures differ in size", .expected = size_of(images[0]), .got = size_of(image)}, Site{});
}

void paste(const Image& image, Image& into, Index left, Index top) {
  for (Index y = 0; y < image.height; ++y) std::copy_n(image.at(0, y), 3 * image.width, into.at(left, top + y));
}

Index margin(Index whole, Index part, Centre centre) {
  const Index both = whole - part, half = both / 2;
  return centre == Centre::half_even && both % 2 && half % 2 ? half + 1 : half;
}

}  // namespace

Image make_image(Index width, Index height, std::uint8_t grey) {
  return {width, height, std::vector<std::uint8_t>(std::size_t(3 * width * height), grey)};
}

Image crop(const Image& image, Index left, Index top, Index width, Index height) {
  if (left < 0 || top < 0 || width < 1 || height < 1 || width > image.width - left || height > image.height - top)
    fail({.op = "crop", .what = "the cut leaves the picture", .expected = "inside " + size_of(image), .got = std::to_string(width) + " x " + std::to_string(height) +
          " at " + std::to_string(left) + ", " + std::to_string(top)}, Site{});
  Image out = make_image(width, height);
  for (Index y = 0; y < height; ++y) std::copy_n(image.at(left, top + y), 3 * width, out.at(0, y));
  return out;
}

Image centre_crop(const Image& image, Index width, Index height, Centre centre) {
  return crop(image, margin(image.width, width, centre), margin(image.height, height, centre), width, height);
}

Image flip_horizontal(const Image& image) {
  Image out = make_image(image.width, image.height);
  for (Index y = 0; y < image.height; ++y)
    for (Index x = 0; x < image.width; ++x) std::copy_n(image.at(image.width - 1 - x, y), 3, out.at(x, y));
  return out;
}

Image grid(const std::vector<Image>& images, Index columns, Index gap, std::uint8_t grey) {
  check_equal_sizes(images, "grid");
  if (columns < 1 || gap < 0) fail({.op = "grid", .what = "no such grid", .expected = "a column or more, no negative gap"}, Site{});
  const Index count = Index(images.size()), rows = (count + columns - 1) / columns, w = images[0].width + gap, h = images[0].height + gap;
  Image sheet = make_image(columns * w + gap, rows * h + gap, grey);
  for (Index i = 0; i < count; ++i) paste(images[std::size_t(i)], sheet, gap + i % columns * w, gap + i / columns * h);
  return sheet;
}

Tensor to_tensor(const std::vector<Image>& images, const Device& device) {
  check_equal_sizes(images, "to_tensor");
  const Shape shape{Index(images.size()), images[0].height, images[0].width, 3};
  std::vector<float> values;
  values.reserve(std::size_t(shape.numel()));
  for (const Image& image : images)
    for (const std::uint8_t v : image.rgb) values.push_back(2 * (float(v) / 255) - 1);
  return Tensor::from<float>(values, shape, device);
}

std::vector<Image> to_images(const Tensor& x) {
  const auto [count, height, width, channels] = x.dims<4>();
  if (channels != 3) fail({.op = "to_images", .what = "not RGB", .expected = "[B, H, W, 3]", .got = x.str()}, Site{});
  const std::vector<float> values = x.to_vector<float>();
  std::vector<Image> images(std::size_t(count), make_image(width, height));
  const float* v = values.data();
  for (Image& image : images)
    for (std::uint8_t& byte : image.rgb) {
      const float unit = *v++ / 2 + 0.5f;
      byte = unit > 0 ? std::uint8_t(std::nearbyint(std::min(unit, 1.0f) * 255)) : 0;  // NaN is not above 0
    }
  return images;
}

}  // namespace sspo::io
