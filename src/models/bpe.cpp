#include "models/bpe.hpp"

#include <algorithm>
#include <functional>

namespace sspo::clip {
namespace {

bool visible(int byte) { return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD); }

struct Spelling {
  std::array<std::string, 256> of;
  std::array<unsigned char, 256> order;
  std::array<int, 512> byte;

  Spelling() {
    byte.fill(-1);
    std::size_t count = 0;
    const auto spell = [&](int b, int character) {
      of[std::size_t(b)] = character < 0x80 ? std::string(1, char(character))
                                            : std::string{char(0xC0 | character >> 6), char(0x80 | (character & 0x3F))};
      byte[std::size_t(character)] = b;
      order[count++] = static_cast<unsigned char>(b);
    };
    for (int b = 0; b < 256; ++b)
      if (visible(b)) spell(b, b);
    for (int b = 0, next = 0x100; b < 256; ++b)
      if (!visible(b)) spell(b, next++);
  }
};

const Spelling& spelling() {
  static const Spelling table;
  return table;
}

}  // namespace

const std::array<std::string, 256>& byte_spelling() { return spelling().of; }
const std::array<unsigned char, 256>& bytes_in_order() { return spelling().order; }
int spelled_byte(char32_t character) { return character < 512 ? spelling().byte[character] : -1; }

Merges::Merges(std::span<const Merge> by_rank) {
  Token largest = -1;
  for (const Merge& m : by_rank) largest = std::max(largest, m.left);
  first_.assign(std::size_t(largest + 2), 0);
  for (const Merge& m : by_rank) ++first_[std::size_t(m.left + 1)];
  for (std::size_t i = 1; i < first_.size(); ++i) first_[i] += first_[i - 1];
  entries_.resize(by_rank.size());
  std::vector<std::uint32_t> next(first_.begin(), first_.end());
  for (std::size_t rank = 0; rank < by_rank.size(); ++rank) {
    const Merge& m = by_rank[rank];
    entries_[next[std::size_t(m.left)]++] = {m.right, m.joined, std::int32_t(rank)};
  }
  for (std::size_t left = 0; left + 1 < first_.size(); ++left)
    std::sort(entries_.begin() + first_[left], entries_.begin() + first_[left + 1],
              [](const Entry& a, const Entry& b) { return a.right < b.right; });
}

const Merges::Entry* Merges::find(Token left, Token right) const {
  if (std::size_t(left) + 1 >= first_.size()) return nullptr;
  const Entry* const begin = entries_.data() + first_[std::size_t(left)];
  const Entry* const end = entries_.data() + first_[std::size_t(left) + 1];
  const Entry* const found = std::lower_bound(begin, end, right, [](const Entry& e, Token r) { return e.right < r; });
  return found != end && found->right == right ? found : nullptr;
}

bool WordMerger::look(std::int32_t at, Candidate& c) {
  Symbol& s = symbols_[std::size_t(at)];
  const Merges::Entry* const e = s.next < 0 ? nullptr : merges_.find(s.token, symbols_[std::size_t(s.next)].token);
  s.joined = e ? e->joined : -1;
  if (e) c = {std::uint64_t(e->rank) << 32 | std::uint32_t(at), e->joined};
  return e != nullptr;
}

void WordMerger::add(std::int32_t at) {
  Candidate c;
  if (!look(at, c)) return;
  heap_.push_back(c);
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>{});
}

// The next candidate: the smaller one of the sorted list (`used` of it are gone) and the heap. False: none is left.
bool WordMerger::take(std::size_t& used, Candidate& c) {
  const bool listed = used < first_.size();
  if (!listed && heap_.empty()) return false;
  if (listed && (heap_.empty() || heap_.front() > first_[used])) {
    c = first_[used++];
    return true;
  }
  std::pop_heap(heap_.begin(), heap_.end(), std::greater<>{});
  c = heap_.back();
  heap_.pop_back();
  return true;
}

void WordMerger::join(std::int32_t at) {
  Symbol& s = symbols_[std::size_t(at)];
  Symbol& right = symbols_[std::size_t(s.next)];
  s.token = s.joined;
  s.next = right.next;
  right = {-1, -1, -1, -1};
  if (s.next >= 0) symbols_[std::size_t(s.next)].previous = at;
  if (s.previous >= 0) add(s.previous);
  add(at);
}

void WordMerger::append(std::span<const Token> word, std::vector<Token>& to) {
  const std::int32_t n = std::int32_t(word.size());
  symbols_.clear();
  first_.clear();
  for (std::int32_t i = 0; i < n; ++i) symbols_.push_back({word[std::size_t(i)], -1, i - 1, i + 1 < n ? i + 1 : -1});
  Candidate c;
  for (std::int32_t i = 0; i < n; ++i)
    if (look(i, c)) first_.push_back(c);
  std::sort(first_.begin(), first_.end(), [](const Candidate& a, const Candidate& b) { return a.key < b.key; });
  for (std::size_t used = 0; take(used, c);) {
    const std::int32_t at = std::int32_t(c.key & 0xFFFFFFFF);
    if (symbols_[std::size_t(at)].joined == c.joined) join(at);  // else one of the two has changed since
  }
  for (std::int32_t i = n ? 0 : -1; i >= 0; i = symbols_[std::size_t(i)].next) to.push_back(symbols_[std::size_t(i)].token);
}

}  // namespace sspo::clip
