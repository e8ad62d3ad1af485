// The parts of ClipTokenizer::parse: each reads some of the files into the tables, or throws Error{file}.
#pragma once
#include "models/tokenizer_tables.hpp"
#include "sspo/io/file.hpp"

namespace sspo::clip {

// The ids of token texts, by binary search (no hash that a file could be made to collide in). The list outlives it.
class TokenIndex {
 public:
  explicit TokenIndex(const std::vector<std::string>& tokens);
  Token find(std::string_view key) const;  // -1: none

 private:
  const std::string& text(Token t) const { return tokens_[std::size_t(t)]; }
  const std::vector<std::string>& tokens_;
  std::vector<Token> order_;
};

std::vector<std::string> read_vocabulary(std::string_view json, const io::Place& place);  // by id
std::vector<Merge> read_merges(std::string_view text, const TokenIndex& index, const io::Place& place);
void find_bytes(Tables& t, const TokenIndex& index, const io::Place& place);
// All that the optional files say: names, added tokens (those unknown to vocab.json join t.tokens), max_length.
void read_specials(Tables& t, const ClipTokenizerFiles& files, const std::string& folder, const TokenIndex& index);

}  // namespace sspo::clip
