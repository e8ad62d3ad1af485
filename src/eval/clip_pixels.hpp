// A picture as a CLIP wants it: its side, its values less a mean, over a deviation. References differ in how they get to the side.
#pragma once
#include <span>

#include "sspo/io/image.hpp"

namespace sspo {

enum class ClipFit {
  // Pillow's bicubic on 8 bits until the shorter side fits, then the middle of the longer one.
  shorter_floor,      // transformers' CLIPProcessor: an odd margin is smaller at the left and top
  shorter_half_even,  // OpenAI's clip and torchvision: half of an odd margin rounds to the even number
  // torchvision on floats (bicubic, antialiased as it has been the default since torchvision 0.17, nothing rounded) until the longer side
  // fits, then black around: the package hpsv2. It takes a picture whose longer side fits already only if it is square; here that one
  // gets its border, too.
  longer_padded,
};

// OpenAI's, of the red, green and blue of its training pictures; all that scorers use were trained with them.
constexpr double clip_mean[3] = {0.48145466, 0.4578275, 0.40821073};
constexpr double clip_deviation[3] = {0.26862954, 0.26130258, 0.27577711};

// [B, side, side, 3] f32. Error{input}: a picture so thin that nothing is left of its shorter side.
Tensor clip_pixels(std::span<const io::Image> pictures, Index side, ClipFit fit, const Device& device = Device::cpu());

}  // namespace sspo
