// `sspo convert`: one-file checkpoints of Stable Diffusion 1.x into a pipeline's folder, and back.
#pragma once
#include <string>

#include "sspo/models/single_file.hpp"

namespace sspo::cli {

struct ConvertOptions {
  std::string path;       // a file: to a folder. A pipeline's folder: to one safetensors file
  std::string out;
  std::string tokenizer;  // a file has none: a folder with vocab.json and merges.txt
  std::string variant;    // of a folder's weights
  SingleFileOptions file;
  bool force = false, json = false;
};
void convert(const ConvertOptions& options);

// Error (input) saying what is missing and where it is to be had, if there is no tokenizer.
ClipTokenizer tokenizer_for(const std::string& file, const std::string& folder);

}  // namespace sspo::cli
