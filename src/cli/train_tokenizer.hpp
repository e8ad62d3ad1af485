// `sspo tokenizer`: learns a vocabulary for CLIP's tokenizer from texts.
#pragma once
#include <string>

namespace sspo::cli {

struct TrainTokenizerOptions {
  std::string from;  // a text a line; .jsonl: an object a line with the key "text" or "caption"
  std::string out;   // folder to write: vocab.json, merges.txt, tokenizer_config.json, special_tokens_map.json
  int size = 4096, fewest = 2, max_length = 77;  // see BpeTrainerOptions
  bool force = false, json = false;
};
// Says what was learned on stderr, or prints {"out", "texts", "size", "wanted", "max_length"}.
void train_tokenizer(const TrainTokenizerOptions& options);

}  // namespace sspo::cli
