// BERT's tokenizer for lower-case English, WordPiece (Wu et al. 2016), with the two tokens that BLIP adds.
//   const WordPiece tokenizer = WordPiece::open("ImageReward/vocab.txt");
//   std::vector<std::int32_t> ids = tokenizer.encode("a red fox", 35);       // [CLS] words [SEP], 35 at most
// The reference is transformers 4's BertTokenizer in Python, as the package image-reward uses it (the one in Rust keeps characters that
// Unicode has not assigned, and joins a block of rare ideographs to their neighbours). Any bytes are a prompt: each broken piece of UTF-8 reads as U+FFFD, which is then dropped.
// Categories of characters are what libutf8proc's Unicode version says; Python may know another one.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sspo/io/file.hpp"

namespace sspo {

class WordPiece {
 public:
  // vocab.txt: a token a line, the line's number is its id; "##" begins those that continue a word. [DEC] and [ENC] follow the last.
  // Throws Error{file} naming the line: no UTF-8, empty, a token twice, more than 2^20; without [UNK], [CLS], [SEP], [PAD] or [MASK];
  // Error{io}: cannot be opened.
  static WordPiece open(const std::string& vocab);
  static WordPiece parse(std::string_view vocab, const io::Place& place);

  // [CLS], the words' pieces, [SEP]. longest: what is more of it goes, before [SEP]; at least 2. A special token's name in the text is
  // that token. A word of more than 100 characters, or with a piece that is not there, is [UNK].
  std::vector<std::int32_t> encode(std::string_view text, std::size_t longest = ~std::size_t(0)) const;
  std::int32_t pad() const;
  std::int32_t size() const;                        // ids are 0 .. size() - 1, [DEC] and [ENC] among them
  const std::string& token(std::int32_t id) const;  // Error: an id out of range

 private:
  struct Tables;
  explicit WordPiece(std::shared_ptr<const Tables> tables) : tables_(std::move(tables)) {}
  std::shared_ptr<const Tables> tables_;  // shared by copies, never changed
};

}  // namespace sspo
