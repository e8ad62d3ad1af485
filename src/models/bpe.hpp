// Byte-pair encoding: how bytes are spelled in vocab.json, the table of merges, and merging in O(n log n).
//   Merges merges({{h, e, he}, {he, y_end, hey_end}});       // rank = place in the list
//   WordMerger merger(merges);
//   merger.append({h, e, y_end}, ids);                       // ids gains hey_end
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sspo::clip {

using Token = std::int32_t;
inline constexpr std::string_view end_of_word = "</w>";  // the last token of a word carries it

// The 256 bytes as printable characters (GPT-2): a byte that is a visible Latin-1 character stands for itself, the
// other 68 are U+0100, U+0101, ... in order of the byte. CLIP numbers its tokens with the visible ones first.
const std::array<std::string, 256>& byte_spelling();     // byte -> UTF-8
const std::array<unsigned char, 256>& bytes_in_order();  // CLIP's order: visible ones, then the others
int spelled_byte(char32_t character);                    // the byte, or -1

struct Merge {
  Token left, right, joined;
};

// The pairs, sorted for lookup: the rank and result of (left, right) by binary search among left's partners.
class Merges {
 public:
  struct Entry {
    Token right, joined;
    std::int32_t rank;
  };
  Merges() = default;
  explicit Merges(std::span<const Merge> by_rank);  // no pair twice, tokens >= 0
  const Entry* find(Token left, Token right) const;

 private:
  std::vector<std::uint32_t> first_;  // [largest left + 2] where the entries of each left begin
  std::vector<Entry> entries_;
};

// Replaces the pair of lowest rank, the leftmost of equals, until no pair is in the table. The word is a linked list; the
// pairs it begins with are sorted, those that come up wait in a heap: O(n log n) for n bytes. Keeps its buffers.
class WordMerger {
 public:
  explicit WordMerger(const Merges& merges) : merges_(merges) {}
  void append(std::span<const Token> word, std::vector<Token>& to);  // word: one token a byte

 private:
  struct Symbol {
    Token token;                  // -1: swallowed by its left neighbour
    Token joined;                 // what it and the next one make now; -1: nothing
    std::int32_t previous, next;  // -1: none
  };
  struct Candidate {
    std::uint64_t key;  // rank << 32 | place
    Token joined;
    bool operator>(const Candidate& o) const { return key > o.key; }
  };
  bool look(std::int32_t at, Candidate& c);  // at the pair that begins here
  void add(std::int32_t at);                 // the pair that begins here, to heap_
  bool take(std::size_t& used, Candidate& c);
  void join(std::int32_t at);

  const Merges& merges_;
  std::vector<Symbol> symbols_;
  std::vector<Candidate> first_, heap_;
};

}  // namespace sspo::clip
