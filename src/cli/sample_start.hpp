// Where sampling starts: unit normals, the text's states, and the noise of later steps; from a seed and prompts, or from a file.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "cli/sample.hpp"
#include "sspo/models/stable_diffusion.hpp"

namespace sspo::cli {

struct Start {
  Tensor latents;                           // [B, h, w, C]
  Tensor text, negative;                    // [B, N, D]
  std::function<Tensor(Index call)> noise;  // [B, h, w, C]
};

// A run of `size` pictures. start(first, count) gives some of them: the same numbers, however the run is cut.
struct Pictures {
  Index size;
  Index rows, columns;               // of latents
  std::vector<std::string> prompts;  // one a picture; empty: unknown
  Index noises;                      // calls of the model for which there is noise
  std::function<Start(Index first, Index count)> start;
};
Pictures pictures_from_prompts(const SampleOptions& o, const StableDiffusion& sd, const Device& device);
Pictures pictures_from_file(const SampleOptions& o, DType dtype, const Device& device);

}  // namespace sspo::cli
