// sspo sample: images from a prompt.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cli/forward.hpp"
#include "sspo/base/config.hpp"
#include "sspo/models/single_file.hpp"

namespace sspo::cli {

struct SampleOptions {
  std::string model, variant, prompt, negative_prompt, prompts_file;  // a file: read_texts of lines.hpp
  std::string tokenizer;   // where `model` is a single file: its tokenizer's folder
  SingleFileOptions file;
  std::vector<std::string> loras;  // FILE or FILE:SCALE
  std::string scheduler;  // empty: the model's own, with steps_offset 1 and unclipped, as diffusers' pipeline takes it
  Index steps = 50, images = 1, height = 0, width = 0;  // pixels; 0: what the model was trained on
  Index batch = 8;                // images at a time; the images do not depend on it
  double guidance = 7.5, eta = 0;
  std::uint64_t seed = 0;
  std::string rng = "torch-cpu";  // philox, torch-cpu, torch-cuda: which program's normals a seed stands for
  bool vae_tiling = false;        // decode in overlapping tiles
  bool vae_slicing = false;       // as it is anyway: one picture at a time
  std::string out;                // PICTURE.png; several pictures become PICTURE-1.png ... and a grid PICTURE.png
  std::string latents, out_latents;  // safetensors: start and text from a file in place of seed and prompt; results to a file
  bool force = false, json = false;
  DeviceOptions device;
};
// A picture is on disk once it is drawn: a run that is stopped (exit 130) leaves the finished ones. Latents that are not
// finite end the run, see finite.hpp.
void sample(const SampleOptions& options);

}  // namespace sspo::cli
