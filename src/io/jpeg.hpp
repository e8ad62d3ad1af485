// JPEG, by libjpeg-turbo: the decoder that Pillow has, so that its pixels are Pillow's.
#pragma once
#include "sspo/io/image.hpp"

namespace sspo::io::jpeg {

ImageInfo info(std::string_view bytes, const Place& place, const ImageLimits& limits);
Image decode(std::string_view bytes, const Place& place, const ImageLimits& limits);  // as stored, not yet upright

}  // namespace sspo::io::jpeg
