#include "sspo/models/wordpiece.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "models/text_cleanup.hpp"
#include "models/unicode.hpp"

namespace sspo {
namespace {

using clip::Codepoint;
using Pieces = std::map<std::string, std::int32_t, std::less<>>;

constexpr std::array<std::string_view, 7> specials = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "[DEC]", "[ENC]"};
constexpr std::size_t in_vocabulary = 5;  // of them; the last two are BLIP's
constexpr std::size_t longest_word = 100, most_tokens = 1u << 20, longest_text = 512u << 20;

// Ideographs, which are words of their own: the blocks that BERT's program lists.
bool is_ideograph(char32_t c) {
  constexpr std::array<std::array<char32_t, 2>, 8> blocks = {{{0x4E00, 0x9FFF}, {0x3400, 0x4DBF}, {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
                                                              {0x2B740, 0x2B81F}, {0x2B820, 0x2CEAF}, {0xF900, 0xFAFF}, {0x2F800, 0x2FA1F}}};
  return std::any_of(blocks.begin(), blocks.end(), [c](const auto& b) { return c >= b[0] && c <= b[1]; });
}

// Categories C*: control, format, private, unassigned. Tab and ends of lines are white space.
bool is_control(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  const utf8proc_category_t category = utf8proc_category(Codepoint(c));
  return category == UTF8PROC_CATEGORY_CN || category >= UTF8PROC_CATEGORY_CC;
}

// Categories P*, and ASCII's other signs.
bool is_punctuation(char32_t c) {
  if (c < 0x80) return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  const utf8proc_category_t category = utf8proc_category(Codepoint(c));
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

// visit(word) for each: lower case, cleaned, ideographs and signs apart, accents off.
template <class F>
void for_each_word(std::string_view text, const F& visit) {
  std::string lower;
  for (const char32_t c : clip::characters(text)) clip::append_lower(lower, Codepoint(c));
  std::u32string clean;
  for (const char32_t c : clip::characters(lower)) {
    if (c == 0xFFFD || is_control(c)) continue;
    if (is_ideograph(c)) clean += {U' ', c, U' '};
    else clean.push_back(c);
  }
  std::u32string word;
  const auto end_word = [&] {
    if (!word.empty()) visit(word);
    word.clear();
  };
  for (const char32_t c : clip::decomposed(clean)) {
    if (utf8proc_category(Codepoint(c)) == UTF8PROC_CATEGORY_MN) continue;
    if (clip::is_space(Codepoint(c))) end_word();
    else if (is_punctuation(c)) end_word(), word.push_back(c), end_word();
    else word.push_back(c);
  }
  end_word();
}

}  // namespace

struct WordPiece::Tables {
  std::vector<std::string> tokens;
  Pieces first, inside;                  // by their text, "##" left out
  std::size_t longest = 0;               // of any of them, in bytes
  std::array<std::int32_t, specials.size()> special;
  std::int32_t unknown() const { return special[0]; }

  void add(std::string token) {
    const bool continues = token.starts_with("##") && token.size() > 2;
    const std::string text = continues ? token.substr(2) : token;
    (continues ? inside : first).emplace(text, std::int32_t(tokens.size()));
    longest = std::max(longest, text.size());
    tokens.push_back(std::move(token));
  }

  // The longest piece that begins the word, then the longest that begins the rest, ...
  void append(const std::u32string& word, std::vector<std::int32_t>& ids) const {
    if (word.size() > longest_word) return ids.push_back(unknown());
    std::string bytes;
    std::vector<std::size_t> ends;       // of each character
    for (const char32_t c : word) clip::append(bytes, Codepoint(c)), ends.push_back(bytes.size());
    const std::size_t before = ids.size();
    for (std::size_t from = 0, character = 0; from < bytes.size();) {
      const Pieces& pieces = from ? inside : first;
      std::size_t last = ends.size();
      const auto found = [&] {
        for (; last > character; --last) {
          const std::size_t length = ends[last - 1] - from;
          if (length > longest) continue;
          if (const auto it = pieces.find(std::string_view(bytes).substr(from, length)); it != pieces.end()) return it->second;
        }
        return std::int32_t(-1);
      }();
      if (found < 0) {
        ids.resize(before);
        return ids.push_back(unknown());
      }
      ids.push_back(found);
      from = ends[last - 1], character = last;
    }
  }
};

WordPiece WordPiece::open(const std::string& vocab) { return parse(io::File(vocab).text(64u << 20), {.path = vocab}); }

WordPiece WordPiece::parse(std::string_view text, const io::Place& place) {
  const auto tables = std::make_shared<Tables>();
  std::map<std::string_view, std::size_t> lines;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view token = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (token.ends_with('\r')) token.remove_suffix(1);
    const auto line = [&] { return io::Place{.path = place.path, .at = ":" + std::to_string(number)}; };
    if (token.empty()) io::bad_file(line(), "an empty line", "a token");
    if (clip::valid_utf8(token) != token) io::bad_file(line(), "the token is not UTF-8", {}, std::string(token));
    const auto [first, fresh] = lines.emplace(token, number);
    if (!fresh) io::bad_file(line(), "a token twice", "each once", "\"" + std::string(token) + "\", as in line " + std::to_string(first->second));
    if (number > most_tokens) io::bad_file(line(), "too many tokens", "at most " + std::to_string(most_tokens));
    tables->add(std::string(token));
  }
  for (std::size_t i = 0; i < specials.size(); ++i) {
    const auto it = tables->first.find(specials[i]);
    if (it != tables->first.end()) {
      tables->special[i] = it->second;
      continue;
    }
    if (i < in_vocabulary) io::bad_file(place, "a special token is missing", "a line " + std::string(specials[i]), std::to_string(tables->tokens.size()) + " tokens", "BERT's vocab.txt, of the uncased model");
    tables->special[i] = std::int32_t(tables->tokens.size());
    tables->add(std::string(specials[i]));
  }
  return WordPiece(tables);
}

std::vector<std::int32_t> WordPiece::encode(std::string_view bytes, std::size_t longest) const {
  if (bytes.size() > longest_text)
    fail({.op = "WordPiece::encode", .what = "the text is too long", .expected = "at most 512 MiB", .got = std::to_string(bytes.size()) + " bytes"});
  if (longest < 2) fail({.op = "WordPiece::encode", .what = "no room for [CLS] and [SEP]", .expected = "longest >= 2", .got = std::to_string(longest)});
  const Tables& t = *tables_;
  std::vector<std::int32_t> ids{t.special[1]};
  const std::string text = clip::valid_utf8(bytes);
  const auto add_words = [&](std::string_view between) {
    for_each_word(between, [&](const std::u32string& word) { t.append(word, ids); });
  };
  std::size_t from = 0;
  for (std::size_t at = 0; (at = text.find('[', at)) != text.npos;) {
    const auto special = std::find_if(specials.begin(), specials.end(), [&](std::string_view s) { return std::string_view(text).substr(at).starts_with(s); });
    if (special == specials.end()) {
      ++at;
      continue;
    }
    add_words(std::string_view(text).substr(from, at - from));
    ids.push_back(t.special[std::size_t(special - specials.begin())]);
    from = at += special->size();
  }
  add_words(std::string_view(text).substr(from));
  if (ids.size() > longest - 1) ids.resize(longest - 1);
  ids.push_back(t.special[2]);
  return ids;
}

std::int32_t WordPiece::pad() const { return tables_->special[3]; }
std::int32_t WordPiece::size() const { return std::int32_t(tables_->tokens.size()); }

const std::string& WordPiece::token(std::int32_t id) const {
  if (id < 0 || id >= size())
    fail({.op = "WordPiece", .what = "no such token", .expected = "0 <= id < " + std::to_string(size()), .got = std::to_string(id)});
  return tables_->tokens[std::size_t(id)];
}

}  // namespace sspo
