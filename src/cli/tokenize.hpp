// `sspo tokenize`: the token ids of a text, or of each line of a JSONL file.
#pragma once
#include <string>

namespace sspo::cli {

struct TokenizeOptions {
  std::string tokenizer;       // folder with vocab.json and merges.txt
  std::string flavour = "hf";  // or "openai"
  std::string text;
  std::string jsonl;  // a file with an object a line, its key "text"; used instead of `text` unless empty
  bool json = false;
};

// Prints a line a text: the ids with start and end, unpadded, separated by blanks; or {"ids": [...], "tokens": [...]}.
void tokenize(const TokenizeOptions& options);

}  // namespace sspo::cli
