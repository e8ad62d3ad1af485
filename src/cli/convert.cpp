#include "cli/convert.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "cli/files.hpp"
#include "io/json.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

void tell(const ConvertOptions& o, const char* kind, io::Json more) {
  more["kind"] = kind, more["from"] = io::printable(o.path, 4096), more["out"] = io::printable(o.out, 4096);
  if (o.json) fmt::print("{}\n", more.dump());
  else fmt::print(stderr, "{} ({})\n", io::printable(o.out, 4096), kind);
}

void to_folder(const ConvertOptions& o) {
  const ClipTokenizer tokenizer = tokenizer_for(o.path, o.tokenizer);
  const SingleFile file = open_single_file(o.path, o.file);
  make_output_folder(o.out, o.force);
  save_pipeline(file, tokenizer, o.out);
  tell(o, "pipeline", {{"tensors", file.unet.weights.names().size() + file.vae.weights.names().size() + file.text_encoder.weights.names().size()}, {"passed_over", file.passed_over},
                       {"ema", o.file.ema}});
}

}  // namespace

ClipTokenizer tokenizer_for(const std::string& file, const std::string& folder) {
  if (folder.empty())
    fail({.op = io::printable(file, 4096), .what = "vocab.json and merges.txt are not in such a file", .expected = "--tokenizer DIR with the two",
          .hint = "SD-1.x's are in the folder tokenizer of stable-diffusion-v1-5/stable-diffusion-v1-5, and in openai/clip-vit-large-patch14, on huggingface.co"}, Site{});
  return ClipTokenizer::open(folder);
}

void convert(const ConvertOptions& o) {
  std::error_code ignored;
  if (!fs::is_directory(o.path, ignored)) return to_folder(o);
  check_output(o.out, o.force);
  save_single_file(o.path, o.out, {.variant = o.variant});
  tell(o, "single file", io::Json::object());
}

}  // namespace sspo::cli
