#include "sspo/models/bpe_trainer.hpp"

#include <algorithm>
#include <map>
#include <queue>
#include <unordered_map>

#include "models/text_cleanup.hpp"
#include "models/tokenizer_tables.hpp"
#include "sspo/base/error.hpp"

namespace sspo {
namespace {

using clip::Token;
using Pair = std::uint64_t;  // left << 32 | right: in order of the tokens' age

Pair pair_of(Token left, Token right) { return std::uint64_t(left) << 32 | std::uint32_t(right); }
Token left_of(Pair p) { return Token(p >> 32); }
Token right_of(Pair p) { return Token(p & 0xFFFFFFFF); }

struct Word {
  std::vector<Token> tokens;
  std::int64_t count;
};

struct PairState {
  std::int64_t count = 0;
  std::vector<std::uint32_t> words;  // where it was seen; it may have gone from there since
};

struct Candidate {
  std::int64_t count;
  Pair pair;
  bool operator<(const Candidate& o) const { return count != o.count ? count < o.count : pair > o.pair; }
};

std::map<std::string, std::int64_t> count_words(std::span<const std::string> lines) {
  std::unordered_map<std::string, std::int64_t> counts;
  for (const std::string& line : lines)
    clip::for_each_word(clip::normalised_hf(clip::valid_utf8(line)), clip::Folding::none, [&](std::string_view word, bool literal) {
      if (!literal) ++counts[std::string(word)];  // the special tokens are no words
    });
  return {counts.begin(), counts.end()};  // sorted: nothing below depends on the hash
}

// CLIP's order: the bytes, the bytes as the last of a word, the merges, start, end.
class BpeTrainer {
 public:
  BpeTrainer(const std::map<std::string, std::int64_t>& counts, const BpeTrainerOptions& options) : options_(options) {
    std::array<Token, 256> number{};
    for (Token i = 0; i < 256; ++i) {
      const unsigned char byte = clip::bytes_in_order()[std::size_t(i)];
      number[byte] = i;
      tokens_.push_back(clip::byte_spelling()[byte]);
    }
    for (Token i = 0; i < 256; ++i) tokens_.push_back(tokens_[std::size_t(i)] + std::string(clip::end_of_word));
    for (const auto& [text, count] : counts) {
      Word word{{}, count};
      for (const char c : text) word.tokens.push_back(number[static_cast<unsigned char>(c)]);
      word.tokens.back() += 256;
      words_.push_back(std::move(word));
    }
    for (std::uint32_t w = 0; w < words_.size(); ++w) see(w, +1);
    for (const auto& [pair, state] : pairs_) queue_.push({state.count, pair});
  }

  ClipTokenizer train() {
    const std::size_t room = std::size_t(options_.size) - 2;
    while (tokens_.size() < room && !queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      const auto found = pairs_.find(best.pair);
      if (found == pairs_.end() || found->second.count != best.count) continue;  // an old entry
      if (best.count < options_.fewest) break;
      merge_list_.push_back(best.pair);
      tokens_.push_back(tokens_[std::size_t(left_of(best.pair))] + tokens_[std::size_t(right_of(best.pair))]);
      merge(best.pair, Token(tokens_.size() - 1));
    }
    return tokenizer();
  }

 private:
  // Adds (sign +1) or takes away (-1) the pairs of a word; the pairs whose count changes are noted.
  void see(std::uint32_t w, int sign) {
    const Word& word = words_[w];
    for (std::size_t i = 0; i + 1 < word.tokens.size(); ++i) {
      const Pair p = pair_of(word.tokens[i], word.tokens[i + 1]);
      PairState& state = pairs_[p];
      state.count += sign * word.count;
      if (sign > 0 && (state.words.empty() || state.words.back() != w)) state.words.push_back(w);
      changed_.push_back(p);
    }
  }

  void merge(Pair pair, Token joined) {
    std::vector<std::uint32_t> where = std::move(pairs_[pair].words);
    std::sort(where.begin(), where.end());
    where.erase(std::unique(where.begin(), where.end()), where.end());
    changed_.clear();
    for (const std::uint32_t w : where) {
      std::vector<Token>& tokens = words_[w].tokens;
      const auto is_pair = [pair](Token a, Token b) { return pair_of(a, b) == pair; };
      if (std::adjacent_find(tokens.begin(), tokens.end(), is_pair) == tokens.end()) continue;
      see(w, -1);
      std::size_t to = 0;
      for (std::size_t i = 0; i < tokens.size(); ++i, ++to) {
        const bool here = i + 1 < tokens.size() && pair_of(tokens[i], tokens[i + 1]) == pair;
        tokens[to] = here ? joined : tokens[i];
        i += here;
      }
      tokens.resize(to);
      see(w, +1);
    }
    std::sort(changed_.begin(), changed_.end());
    changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
    for (const Pair p : changed_) {
      const auto found = pairs_.find(p);
      if (found->second.count > 0) queue_.push({found->second.count, p});
      else pairs_.erase(found);
    }
  }

  ClipTokenizer tokenizer() const {
    std::vector<std::string> all = tokens_;
    all.insert(all.end(), {std::string(clip::start_literal), std::string(clip::end_literal)});
    ClipTokenizerFiles files;
    files.vocab = clip::vocabulary_json(all);
    for (const Pair p : merge_list_)
      files.merges += tokens_[std::size_t(left_of(p))] + " " + tokens_[std::size_t(right_of(p))] + "\n";
    files.config = "{\"model_max_length\": " + std::to_string(options_.max_length) + "}";
    return ClipTokenizer::parse(files, "trained");
  }

  BpeTrainerOptions options_;
  std::vector<std::string> tokens_;
  std::vector<Word> words_;
  std::unordered_map<Pair, PairState> pairs_;
  std::priority_queue<Candidate> queue_;
  std::vector<Pair> merge_list_, changed_;
};

}  // namespace

ClipTokenizer train_bpe(std::span<const std::string> lines, BpeTrainerOptions options) {
  const auto check = [](bool good, const char* field, const char* expected, int got) {
    if (good) return;
    fail({.op = "train_bpe", .what = std::string(field) + " is out of range", .expected = expected, .got = std::to_string(got)});
  };
  check(options.size >= 514 && options.size <= 1 << 20, "size", "514 to 1048576: the bytes twice, start and end at least", options.size);
  check(options.fewest >= 1, "fewest", "1 or more", options.fewest);
  check(options.max_length >= 2, "max_length", "2 or more", options.max_length);
  return BpeTrainer(count_words(lines), options).train();
}

}  // namespace sspo
