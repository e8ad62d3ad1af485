// Pictures: PNG, JPEG and WebP in, PNG out, Pillow's resize to the bit, crops, grids, and tensors in [-1, 1].
//   Image photo = read_image("cat.jpg");                              // RGB, upright
//   Tensor x = to_tensor({centre_crop(resize_shorter(photo, 512, Filter::lanczos), 512, 512)});   // [1, 512, 512, 3]
//   write_png("out.png", to_images(y).front(), {{"parameters", "a cat\nSteps: 20"}});
// A plain struct, no Tensor: pictures are cut and scaled before anything is on a device, and no op works on bytes.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sspo/io/file.hpp"
#include "sspo/tensor/tensor.hpp"

namespace sspo::io {

struct Image {
  Index width = 0, height = 0;
  std::vector<std::uint8_t> rgb;  // [height, width, 3]
  const std::uint8_t* at(Index x, Index y) const { return rgb.data() + 3 * (y * width + x); }
  std::uint8_t* at(Index x, Index y) { return rgb.data() + 3 * (y * width + x); }
};
Image make_image(Index width, Index height, std::uint8_t grey = 0);

// --- reading

// Checked at the file's header, before anything is decoded.
struct ImageLimits {
  Index side = 16384, pixels = 100'000'000;
  std::uint64_t bytes = 540u << 20;  // of memory while decoding, the result included
};

struct ImageText {
  std::string key, text;  // UTF-8
};

struct ImageInfo {
  std::string format;        // "PNG", "JPEG" or "WebP"
  Index width, height;       // as stored, before the orientation is applied
  int channels, bits;        // as stored; a palette has 1 channel
  int orientation = 1;       // EXIF, 1 to 8
  std::vector<ImageText> texts = {};  // PNG's text chunks
};

// The format is told by content. What becomes RGB, and how:
//   16 bits a channel       the upper 8             grey, palette     spread to three channels
//   alpha, transparency     dropped, as Pillow's convert("RGB") does; not laid over white
//   CMYK (JPEG)             Adobe's inverted inks, R = C * K / 255
//   EXIF orientation        applied: the picture is upright, as diffusers' load_image has it
//   gamma, ICC profiles     ignored
// Error{file}: another format, damaged or cut short (PNG: every checksum; JPEG: no end marker), beyond the limits, an animated WebP;
// any WebP if this was built without libwebp (SSPO_WEBP=OFF).
Image decode_image(std::string_view bytes, const Place& place, const ImageLimits& limits = {});
ImageInfo image_info(std::string_view bytes, const Place& place, const ImageLimits& limits = {});
Image read_image(const std::string& path, const ImageLimits& limits = {});
ImageInfo read_image_info(const std::string& path, const ImageLimits& limits = {});

// --- writing

// Texts become tEXt chunks if they are ASCII, else iTXt; keys are 1 to 79 printable ASCII characters. Error{input} if not.
std::string encode_png(const Image& image, const std::vector<ImageText>& texts = {});
void write_png(const std::string& path, const Image& image, const std::vector<ImageText>& texts = {});

// --- pixels

enum class Filter { bilinear, bicubic, lanczos };
// Since Pillow 13 the pass along the columns comes first if the height shrinks by more than twice as many pixels as the
// width; before, the rows always came first. A few pixels differ by a level or two.
enum class Passes { pillow_13, rows_first };
// As Pillow's Image.resize, bit for bit: antialiased, weights of 22 bits, rounded to 8 bits after each of the two passes.
Image resize(const Image& image, Index width, Index height, Filter filter, Passes passes = Passes::pillow_13);
// The same filters without rounding to levels, values over 255: [height, width, 3], may leave [0, 1]. As torch's interpolate with
// antialias=True, and torchvision's Resize, have it of floating-point pictures.
std::vector<float> resize_exact(const Image& image, Index width, Index height, Filter filter);
// The shorter side becomes `side`, the other one its share, cut to a whole number: torchvision and CLIP's processor.
Image resize_shorter(const Image& image, Index side, Filter filter);
Image crop(const Image& image, Index left, Index top, Index width, Index height);
// When the margins cannot be equal: floor makes left and top the smaller (CLIP's processor); half_even rounds their half
// to the even number (torchvision's CenterCrop).
enum class Centre { floor, half_even };
Image centre_crop(const Image& image, Index width, Index height, Centre centre = Centre::floor);
Image flip_horizontal(const Image& image);
// Row by row, `gap` pixels of `grey` around and between; all of one size.
Image grid(const std::vector<Image>& images, Index columns, Index gap = 0, std::uint8_t grey = 255);

// [B, H, W, 3] f32: 2 (v / 255) - 1, images of one size.
Tensor to_tensor(const std::vector<Image>& images, const Device& device = Device::cpu());
// x [B, H, W, 3] f32: 255 (x / 2 + 1/2), clamped and rounded half to even, as diffusers' image processor; NaN is black.
std::vector<Image> to_images(const Tensor& x);

}  // namespace sspo::io
