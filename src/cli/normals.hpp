// The normal numbers of a sampling run, by the program whose seed is meant.
#pragma once
#include <cstdint>
#include <string>
#include <variant>

#include "sspo/base/rng.hpp"
#include "sspo/base/torch_normal.hpp"
#include "sspo/tensor/tensor.hpp"

namespace sspo::cli {

// Draws follow each other as diffusers' do: first the latents, then the noise of each step that draws.
class Normals {
 public:
  Normals(const std::string& rng, std::uint64_t seed);
  // [B, H, W, C], drawn in the order [B, C, H, W] of diffusers.
  Tensor next(const Shape& nhwc, const Device& device);

 private:
  std::variant<Rng, TorchCpuGenerator, TorchCudaGenerator> generator_;
  Index draws_ = 0;
};

}  // namespace sspo::cli
