// `sspo inspect PATH`: what a file or a folder holds, told by its content.
#pragma once
#include <string>

namespace sspo::cli {

struct InspectOptions {
  std::string path;     // safetensors, shard index, pipeline, component, scheduler, tokenizer, picture
  std::string variant;  // models: the weights of this variant; empty: the plain ones, or the only others there are
  std::string ppm;      // pictures: a file for the decoded pixels, 8-bit RGB (P6)
  bool json = false, force = false;
};
// Prints a summary, or one JSON object whose first key is "kind". Everything that is listed was checked: headers against the
// file's size, shards against their index, weights against the config where the class is one of ours, pictures to the last pixel.
void inspect(const InspectOptions& options);

}  // namespace sspo::cli
