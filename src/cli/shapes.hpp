// Generated training pictures: one coloured shape on white, 16 x 16, anti-aliased. A pure function of
// the path, so there is no data set to store and no two steps see the same picture.
//   const Batch b = shape_batch(rng / "data" / step, 64, cpu);
#pragma once
#include <array>
#include <string_view>

#include "sspo/base/rng.hpp"
#include "sspo/tensor/tensor.hpp"

namespace sspo::cli {

inline constexpr Index picture_side = 16;
inline constexpr std::array<std::string_view, 6> class_names = {"circle", "square", "triangle", "cross", "ring", "diamond"};
inline constexpr Index class_count = Index(class_names.size());

struct Batch {
  Tensor pictures;  // [B, 16, 16, 3] f32, -1 black to 1 white
  Tensor classes;   // [B] i64
};
Batch shape_batch(const Rng& rng, Index count, const Device& device);

}  // namespace sspo::cli
