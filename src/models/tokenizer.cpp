#include "sspo/models/tokenizer.hpp"

#include <algorithm>

#include "models/text_cleanup.hpp"
#include "models/text_repair.hpp"
#include "models/tokenizer_tables.hpp"
#include "sspo/base/error.hpp"

namespace sspo {
namespace clip {

void TokenTrie::add(std::string_view key, Token token) {
  std::uint32_t node = 0;
  for (const char c : key) {
    const auto [place, fresh] = nodes_[node].next.try_emplace(c, std::uint32_t(nodes_.size()));
    node = place->second;
    if (fresh) nodes_.emplace_back();
  }
  if (node) nodes_[node].token = token;
}

std::size_t TokenTrie::longest(std::string_view text, Token& token) const {
  std::size_t length = 0;
  std::uint32_t node = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto next = nodes_[node].next.find(text[i]);
    if (next == nodes_[node].next.end()) break;
    node = next->second;
    if (nodes_[node].token >= 0) token = nodes_[node].token, length = i + 1;
  }
  return length;
}

}  // namespace clip

namespace {

constexpr std::size_t longest_text = 512u << 20;

// Calls on_token for each key of the trie found from left to right, the longest first, and on_text for what lies between.
template <class OnText, class OnToken>
void split_at(const clip::TokenTrie& trie, std::string_view text, const OnText& on_text, const OnToken& on_token) {
  std::size_t from = 0;
  for (std::size_t at = 0; !trie.empty() && at < text.size();) {
    clip::Token token = -1;
    const std::size_t n = trie.longest(text.substr(at), token);
    if (n == 0) {
      ++at;
      continue;
    }
    if (at > from) on_text(text.substr(from, at - from));
    on_token(token);
    from = at += n;
  }
  if (from < text.size()) on_text(text.substr(from));
}

}  // namespace

// encode: 1. repair  2. added tokens of the raw text  3. clean-up  4. added tokens of the clean text  5. words  6. merges
std::vector<std::int32_t> ClipTokenizer::encode(std::string_view bytes) const {
  if (bytes.size() > longest_text)  // places in a word are 32 bit, and repair makes three bytes of a broken one
    fail({.op = "ClipTokenizer::encode", .what = "the text is too long", .expected = "at most 512 MiB",
          .got = std::to_string(bytes.size()) + " bytes"});
  const clip::Tables& t = *tables_;
  std::vector<std::int32_t> ids{t.start};
  std::vector<clip::Token> letters;
  clip::WordMerger merger(t.merges);
  const auto add_token = [&](clip::Token token) { ids.push_back(token); };
  const auto add_word = [&](std::string_view word) {
    letters.clear();
    for (const char c : word) letters.push_back(t.inside[static_cast<unsigned char>(c)]);
    letters.back() = t.last[static_cast<unsigned char>(word.back())];
    merger.append(letters, ids);
  };

  const std::string text = clip::valid_utf8(bytes);
  if (t.options.flavour != ClipFlavour::hf) {
    clip::for_each_word(clip::cleaned_openai(t.options.flavour == ClipFlavour::ftfy ? clip::text_repaired(text) : text), clip::Folding::ignore_case, [&](std::string_view word, bool) {
      if (word == clip::start_literal && t.start_literal >= 0) add_token(t.start_literal);
      else if (word == clip::end_literal && t.end_literal >= 0) add_token(t.end_literal);
      else add_word(word);
    });
  } else {
    const auto add_words = [&](std::string_view clean) {
      clip::for_each_word(clean, clip::Folding::none, [&](std::string_view word, bool literal) {
        if (!literal) return add_word(word);
        add_word(word.substr(0, 2));  // "<|", "startoftext", "|>": the reference splits once more, by GPT-2's pattern
        add_word(word.substr(2, word.size() - 4));
        add_word(word.substr(word.size() - 2));
      });
    };
    const auto add_raw = [&](std::string_view raw) { split_at(t.cleaned, clip::normalised_hf(raw), add_words, add_token); };
    split_at(t.raw, text, add_raw, add_token);
  }
  ids.push_back(t.end);
  return ids;
}

std::vector<std::int32_t> ClipTokenizer::padded(std::string_view text, int length) const {
  if (length < 2)
    fail({.op = "ClipTokenizer::padded", .what = "no room for start and end", .expected = "length >= 2", .got = std::to_string(length)});
  std::vector<std::int32_t> ids = encode(text);
  const std::size_t room = std::size_t(length);
  if (ids.size() > room) {
    ids.resize(room);
    ids.back() = end();
  }
  ids.resize(room, pad());
  return ids;
}

std::string ClipTokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string bytes;
  for (const std::int32_t id : ids) {
    std::string spelled;
    bool known = true;
    const std::string& name = token(id);
    for (std::size_t i = 0; i < name.size() && known; ++i) {
      const auto lead = static_cast<unsigned char>(name[i]);  // the spelling uses U+0021 to U+0143: one or two bytes
      const bool two = lead >= 0xC2 && lead <= 0xC5 && i + 1 < name.size();
      const int byte = clip::spelled_byte(two ? char32_t((lead & 0x1F) << 6 | (name[i + 1] & 0x3F)) : lead);
      known = byte >= 0 && (two || lead < 0x80);
      if (known) spelled.push_back(char(byte));
      i += two;
    }
    bytes += known ? spelled : name;
  }
  std::string text = clip::valid_utf8(bytes), blanks;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t next = std::min(text.find(clip::end_of_word, at), text.size());
    blanks.append(text, at, next - at);
    if (next < text.size()) blanks += ' ';
    at = next + (next < text.size() ? clip::end_of_word.size() : 0);
  }
  return clip::stripped(blanks);
}

std::int32_t ClipTokenizer::size() const { return std::int32_t(tables_->tokens.size()); }
std::int32_t ClipTokenizer::start() const { return tables_->start; }
std::int32_t ClipTokenizer::end() const { return tables_->end; }
std::int32_t ClipTokenizer::pad() const { return tables_->pad; }
int ClipTokenizer::max_length() const { return tables_->max_length; }

const std::string& ClipTokenizer::token(std::int32_t id) const {
  if (id < 0 || id >= size())
    fail({.op = "ClipTokenizer", .what = "no such token", .expected = "0 <= id < " + std::to_string(size()), .got = std::to_string(id)});
  return tables_->tokens[std::size_t(id)];
}

}  // namespace sspo
