// WebP, by libwebp: the decoder that Pillow has, so that its pixels are Pillow's.
#pragma once
#include "sspo/io/image.hpp"

namespace sspo::io::webp {

inline bool is_webp(std::string_view bytes) { return bytes.starts_with("RIFF") && bytes.substr(0, 12).ends_with("WEBP"); }
// Without libwebp (SSPO_WEBP=OFF) both throw Error{file}, which says so.
ImageInfo info(std::string_view bytes, const Place& place, const ImageLimits& limits);
Image decode(std::string_view bytes, const Place& place, const ImageLimits& limits);  // as stored, not yet upright

}  // namespace sspo::io::webp
