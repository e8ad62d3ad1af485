// What ClipTokenizer holds: the checked content of its files, and the trie that finds added tokens in a text.
#pragma once
#include <map>

#include "models/bpe.hpp"
#include "sspo/models/tokenizer.hpp"

namespace sspo {

// A token found in the text as it stands. `normalised`: only after the text's clean-up, its own content cleaned too.
struct AddedToken {
  std::string content;
  clip::Token id = 0;
  bool normalised = false;
};

// The longest of a set of strings that a text begins with.
class TokenTrie {
 public:
  void add(std::string_view key, clip::Token token);
  std::size_t longest(std::string_view text, clip::Token& token) const;  // its length; 0: none
  bool empty() const { return nodes_.size() == 1; }

 private:
  struct Node {
    std::map<char, std::uint32_t> next;
    clip::Token token = -1;
  };
  std::vector<Node> nodes_{1};
};

struct ClipTokenizer::Tables {
  ClipTokenizerOptions options;
  std::vector<std::string> tokens;  // by id; those beyond vocabulary are added ones
  std::size_t vocabulary = 0;       // how many of them stand in vocab.json
  std::vector<clip::Merge> merge_list;
  clip::Merges merges;
  std::array<clip::Token, 256> inside, last;  // each byte, and as the last of its word
  std::vector<AddedToken> added;              // by id
  TokenTrie raw, cleaned;                     // of the added tokens: before and after the text's clean-up
  std::string start_name, end_name, unknown_name, pad_name;
  clip::Token start = 0, end = 0, pad = 0;
  clip::Token start_literal = -1, end_literal = -1;  // openai: what the literals of its pattern stand for; -1: plain words
  int max_length = 77;
};

}  // namespace sspo
