// What ClipTokenizer holds: the checked content of its files, and the trie that finds added tokens in a text.
#pragma once
#include <map>

#include "models/bpe.hpp"
#include "sspo/models/tokenizer.hpp"

namespace sspo::clip {

// A token found in the text as it stands. `normalised`: only after the text's clean-up, its own content cleaned too.
struct AddedToken {
  std::string content;
  Token id = 0;
  bool normalised = false;
  bool special = true;  // for transformers, which can leave such tokens out when it decodes
};

// The longest of a set of strings that a text begins with.
class TokenTrie {
 public:
  void add(std::string_view key, Token token);
  std::size_t longest(std::string_view text, Token& token) const;  // its length; 0: none
  bool empty() const { return nodes_.size() == 1; }

 private:
  struct Node {
    std::map<char, std::uint32_t> next;
    Token token = -1;
  };
  std::vector<Node> nodes_{1};
};

struct Tables {
  ClipTokenizerOptions options;
  std::vector<std::string> tokens;  // by id; those beyond vocabulary are added ones
  std::size_t vocabulary = 0;       // how many of them stand in vocab.json
  std::vector<Merge> merge_list;
  Merges merges;
  std::array<Token, 256> inside, last;  // each byte, and as the last of its word
  std::vector<AddedToken> added;        // by id
  TokenTrie raw, cleaned;               // of the added tokens: before and after the text's clean-up
  std::string start_name, end_name, unknown_name, pad_name;  // bos, eos, unk and pad in the files
  Token start = 0, end = 0, pad = 0;
  Token start_literal = -1, end_literal = -1;  // openai: what the literals of its pattern stand for; -1: plain words
  int max_length = 77;
};

std::string vocabulary_json(std::span<const std::string> tokens);  // vocab.json: each token's id is its place

}  // namespace sspo::clip
