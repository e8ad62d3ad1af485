// Merging against its plain definition, and the spelling of bytes.
#include "models/bpe.hpp"

#include <set>

#include "support.hpp"

using namespace sspo;
using clip::Merge;
using clip::Merges;
using clip::Token;
using Word = std::vector<Token>;

namespace {

// The pair of lowest rank, the leftmost of equals, again and again.
Word merged_plainly(Word word, const Merges& merges) {
  for (;;) {
    const Merges::Entry* best = nullptr;
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < word.size(); ++i) {
      const Merges::Entry* const e = merges.find(word[i], word[i + 1]);
      if (e && (!best || e->rank < best->rank)) best = e, at = i;
    }
    if (!best) return word;
    word[at] = best->joined;
    word.erase(word.begin() + std::ptrdiff_t(at) + 1);
  }
}

Word merged(const Word& word, const Merges& merges) {
  Word to;
  clip::WordMerger(merges).append(word, to);
  return to;
}

struct Dice {  // a linear congruential generator
  std::uint64_t state;
  int below(int n) { return int((state = state * 6364136223846793005u + 1442695040888963407u) >> 33) % n; }
};

}  // namespace

TEST_CASE("bpe: the heap merges as the definition does, over random tables and words") {
  int shorter = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    Dice dice{seed};
    const int letters = 1 + dice.below(4);
    std::vector<Merge> list;
    std::set<std::pair<int, int>> pairs;
    Token next = letters;
    for (int i = 0; i < 12; ++i) {
      const int left = dice.below(next), right = dice.below(next);
      if (pairs.insert({left, right}).second) list.push_back({left, right, next++});
    }
    const Merges merges(list);
    Word word(std::size_t(dice.below(60)));
    for (Token& t : word) t = dice.below(letters);
    const Word expected = merged_plainly(word, merges);
    shorter += expected.size() < word.size();
    INFO("seed " << seed);
    CHECK(merged(word, merges) == expected);
  }
  CHECK(shorter > 1000);
}

TEST_CASE("bpe: an old candidate whose pair has changed does not merge early") {
  // 0 1 2: (1 2) -> 4 is first, so (0 1) at the start is old when its turn comes, and (0 4), by then there, ranks last.
  const std::vector<Merge> list = {{1, 2, 4}, {0, 1, 5}, {4, 3, 6}, {0, 4, 7}};
  CHECK(merged({0, 1, 2, 3}, Merges(list)) == Word{0, 6});
  CHECK(merged({0, 1, 2}, Merges(list)) == Word{7});
  CHECK(merged({}, Merges(list)) == Word{});
  CHECK(merged({9}, Merges(list)) == Word{9});
  CHECK(merged({0, 1}, Merges{}) == Word{0, 1});
  const std::vector<Merge> same = {{0, 0, 1}, {1, 1, 2}};
  CHECK(merged({0, 0, 0}, Merges(same)) == Word{1, 0});  // the leftmost of overlapping equals
  CHECK(merged(Word(7, 0), Merges(same)) == Word{2, 1, 0});
}

TEST_CASE("bpe: every byte has a spelling, and the spelling gives the byte") {
  std::set<std::string> spellings;
  std::set<int> bytes;
  for (int b = 0; b < 256; ++b) {
    const std::string& s = clip::byte_spelling()[std::size_t(b)];
    spellings.insert(s);
    const char32_t c = s.size() == 1 ? char32_t(s[0]) : char32_t((s[0] & 0x1F) << 6 | (s[1] & 0x3F));
    CHECK(clip::spelled_byte(c) == b);
    bytes.insert(clip::bytes_in_order()[std::size_t(b)]);
  }
  CHECK(spellings.size() == 256);
  CHECK(bytes.size() == 256);
  CHECK(clip::byte_spelling()['!'] == "!");
  CHECK(clip::byte_spelling()[' '] == "\u0120");
  CHECK(clip::byte_spelling()[0] == "\u0100");
  CHECK(clip::bytes_in_order()[0] == '!');
  CHECK(clip::spelled_byte(' ') == -1);
  CHECK(clip::spelled_byte(0x144) == -1);
  CHECK(clip::spelled_byte(0x110000) == -1);
}
