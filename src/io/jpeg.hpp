// JPEG: its markers are read here, its pixels by stb_image.
#pragma once
#include "sspo/io/image.hpp"

namespace sspo::io::jpeg {

struct File {
  unsigned width = 0, height = 0, channels = 0;
  int orientation = 1;
};

// Walks over all markers to the end of the picture; the limits are checked at the frame's header.
File parse(std::string_view bytes, const Place& place, const ImageLimits& limits);
Image decode(const File& file, std::string_view bytes, const Place& place);

}  // namespace sspo::io::jpeg
