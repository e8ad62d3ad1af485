#include "cli/train_tokenizer.hpp"

#include <fmt/format.h>

#include "cli/files.hpp"
#include "cli/lines.hpp"
#include "cli/signals.hpp"
#include "io/json.hpp"
#include "sspo/models/bpe_trainer.hpp"

namespace sspo::cli {

void train_tokenizer(const TrainTokenizerOptions& o) {
  const std::vector<std::string> texts = read_texts(o.from);
  const ClipTokenizer tokenizer = train_bpe(texts, {.size = o.size, .fewest = o.fewest, .max_length = o.max_length});
  stop_if_interrupted();
  make_output_folder(o.out, o.force);
  tokenizer.save(o.out);
  for (const char* older : {"tokenizer.json", "added_tokens.json"}) {  // transformers would read these in place of the new files
    std::error_code none;
    std::filesystem::remove(std::filesystem::path(o.out) / older, none);
  }
  const std::string out = io::printable(o.out, 4096);
  if (o.json)
    fmt::print("{}\n", io::Json{{"out", out}, {"texts", texts.size()}, {"size", tokenizer.size()}, {"wanted", o.size}, {"max_length", tokenizer.max_length()}}.dump());
  else
    fmt::print(stderr, "{}: {} tokens from {} texts{}\n", out, tokenizer.size(), texts.size(),
               tokenizer.size() < o.size ? fmt::format(", fewer than {}: no pair is left that is seen {} times", o.size, o.fewest) : "");
}

}  // namespace sspo::cli
