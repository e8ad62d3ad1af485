// A vocabulary of one's own for ClipTokenizer, learned from text (Sennrich et al. 2016, algorithm 1, over bytes).
//   const ClipTokenizer tokenizer = train_bpe(captions, {.size = 4096});
//   tokenizer.save("model/tokenizer");       // vocab.json, merges.txt, ...: loads in transformers with equal ids
#pragma once
#include <span>
#include <string>

#include "sspo/models/tokenizer.hpp"

namespace sspo {

struct BpeTrainerOptions {
  int size = 4096;        // tokens in all: 512 for the bytes, one for each merge, start and end. >= 514
  int fewest = 2;         // a pair seen less often is not merged, so small texts give fewer tokens
  int max_length = 77;    // model_max_length
};

// Words are cut as encode() cuts them (flavour hf). The most frequent pair is merged first; of equals the one whose left
// token is the older, then whose right token is. No text is spelled by two merges: where b and c stand side by side at the
// time of bc, they join everywhere, so that ab never meets a c later. The result is a function of the words and their
// counts: the order of lines does not matter.
ClipTokenizer train_bpe(std::span<const std::string> lines, BpeTrainerOptions options = {});

}  // namespace sspo
