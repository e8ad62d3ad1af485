// The files of a tokenizer folder: checked reading (promise S6) and writing.
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <numeric>
#include <set>

#include "io/json.hpp"
#include "models/clip_text.hpp"
#include "models/tokenizer_tables.hpp"

namespace sspo::clip {
namespace {

using io::bad_file;
using io::Fields;
using io::Json;
using io::Place;

constexpr std::uint64_t most_bytes = 64u << 20, most_config_bytes = 16u << 20;
constexpr std::size_t most_tokens = 1u << 20, longest_added = 256, most_added = 10'000;
constexpr int no_limit = 1'000'000, clip_length = 77;

// Token texts sorted, for lookup.
class TokenIndex {
 public:
  explicit TokenIndex(const std::vector<std::string>& tokens) : tokens_(tokens), order_(tokens.size()) {
    std::iota(order_.begin(), order_.end(), 0);
    std::sort(order_.begin(), order_.end(), [this](Token a, Token b) { return text(a) < text(b); });
  }
  Token find(std::string_view key) const {  // -1: none
    const auto found = std::lower_bound(order_.begin(), order_.end(), key, [this](Token t, std::string_view k) { return text(t) < k; });
    return found != order_.end() && text(*found) == key ? *found : -1;
  }

 private:
  const std::string& text(Token t) const { return tokens_[std::size_t(t)]; }
  const std::vector<std::string>& tokens_;
  std::vector<Token> order_;
};

std::vector<std::string> read_vocabulary(std::string_view json, const Place& place) {
  const Json root = io::parse_json(json, place, 1);
  if (!root.is_object()) bad_file(place, "not an object", "{\"token\": id, ...}");
  const std::size_t n = root.size();
  if (n > most_tokens) bad_file(place, "too many tokens", "at most " + std::to_string(most_tokens), std::to_string(n));
  std::vector<std::string> tokens(n);
  std::vector<bool> taken(n, false);
  for (const auto& [token, id] : root.items()) {
    const bool good = id.is_number_unsigned() && id.get<std::uint64_t>() < n;
    if (!good) bad_file(place.in(token), "the ids are not 0 to the number of tokens - 1", "an id below " + std::to_string(n), id.dump());
    const std::size_t i = id.get<std::size_t>();
    if (taken[i]) bad_file(place.in(token), "the id belongs to another token, too", {}, id.dump() + ", which is \"" + tokens[i] + "\"");
    taken[i] = true;
    tokens[i] = token;
  }
  return tokens;
}

// One line: two known tokens with a blank between them, and the token they make known, too.
Merge read_merge(std::string_view line, const TokenIndex& index, const Place& place) {
  const std::size_t blank = line.find(' ');
  const std::string_view left = line.substr(0, blank), right = blank < line.size() ? line.substr(blank + 1) : std::string_view{};
  if (left.empty() || right.empty() || right.find(' ') != std::string_view::npos)
    bad_file(place, "not a merge", "two tokens with one blank between them", "\"" + std::string(line) + "\"");
  const auto known = [&](std::string_view token, const char* what) {
    const Token t = index.find(token);
    if (t < 0) bad_file(place, what, "a token of vocab.json", "\"" + std::string(token) + "\"");
    return t;
  };
  const Token a = known(left, "the left part is no token"), b = known(right, "the right part is no token");
  return {a, b, known(std::string(left).append(right), "the merged token is unknown")};
}

void check_no_pair_twice(const std::vector<Merge>& merges, std::size_t first_line, Place place) {
  std::vector<std::uint32_t> order(merges.size());
  std::iota(order.begin(), order.end(), 0u);
  const auto key = [&](std::uint32_t i) { return std::pair(merges[i].left, merges[i].right); };
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return key(a) != key(b) ? key(a) < key(b) : a < b; });
  const auto twice = std::adjacent_find(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return key(a) == key(b); });
  if (twice == order.end()) return;
  place.at = ":" + std::to_string(first_line + *(twice + 1));
  bad_file(place, "the merge is there twice", {}, "the same as line " + std::to_string(first_line + *twice));
}

std::vector<Merge> read_merges(std::string_view text, const TokenIndex& index, const Place& place) {
  std::vector<Merge> merges;
  std::size_t number = 1, first_line = 1;
  for (; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (number == 1 && line.substr(0, 8) == "#version") {
      first_line = 2;
      continue;
    }
    if (line.empty() && text.empty()) break;  // a blank last line
    Place here = place;
    here.at = ":" + std::to_string(number);
    if (merges.size() == most_tokens) bad_file(here, "too many merges", "at most " + std::to_string(most_tokens));
    merges.push_back(read_merge(line, index, here));
  }
  check_no_pair_twice(merges, first_line, place);
  return merges;
}

void find_bytes(Tables& t, const TokenIndex& index, const Place& place) {
  for (std::size_t b = 0; b < 256; ++b)
    for (const bool is_last : {false, true}) {
      const std::string token = byte_spelling()[b] + (is_last ? std::string(end_of_word) : "");
      (is_last ? t.last : t.inside)[b] = index.find(token);
      if (index.find(token) < 0)
        bad_file(place, "the token of a byte is missing", "\"" + token + "\" for byte " + std::to_string(b));
    }
}

// A special token as the files give it: a text, or an object with a text and flags.
struct Named {
  std::string content;
  bool normalised;
};

AddedToken read_added(const Json& value, const Place& place, bool special) {
  Fields f(value, place);
  AddedToken token{.content = f.text("content"), .special = f.boolean("special", special)};
  token.normalised = f.boolean("normalized", !token.special);
  if (f.boolean("single_word", false)) f.wrong("single_word", "tokens that match whole words only are not supported", "false", "true");
  if (token.content.empty()) f.wrong("content", "is empty");
  if (token.content.size() > longest_added) f.wrong("content", "too long", "at most " + std::to_string(longest_added) + " bytes");
  return token;  // lstrip and rstrip only take white space along, which is dropped in any case
}

// config and, where it has no added_tokens_decoder, the two older files.
class SpecialFiles {
 public:
  SpecialFiles(const ClipTokenizerFiles& files, const std::string& folder)
      : config_(read(files.config, folder + "/tokenizer_config.json")), specials_(read({}, {})), added_(read({}, {})) {
    if (fields().has("added_tokens_decoder")) return;
    specials_ = read(files.specials, folder + "/special_tokens_map.json");
    added_ = read(files.added, folder + "/added_tokens.json");
  }

  std::vector<AddedToken> added() const {
    std::vector<AddedToken> all;
    if (const Json* decoder = fields().raw("added_tokens_decoder")) {
      const Place place = config_.place.in("added_tokens_decoder");
      Fields check(*decoder, place);
      for (const auto& [id, token] : decoder->items()) {
        all.push_back(read_added(token, place.in(id), false));
        const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), all.back().id);
        if (error != std::errc{} || end != id.data() + id.size() || all.back().id < 0) bad_file(place.in(id), "not a token id");
      }
    }
    for (const auto& [content, id] : added_.json.items()) {
      const bool good = id.is_number_unsigned() && id.get<std::uint64_t>() < 2 * most_tokens;
      if (!good) bad_file(added_.place.in(content), "not a token id", {}, id.dump());
      if (content.empty() || content.size() > longest_added)
        bad_file(added_.place.in(content), "wrong length", "1 to " + std::to_string(longest_added) + " bytes");
      all.push_back({.content = content, .id = id.get<Token>(), .normalised = true, .special = false});
    }
    return all;
  }

  // nullopt: no file names it and there is no fallback. A plain text counts as special: found in the raw text.
  std::optional<AddedToken> named(const std::string& name, std::string_view fallback) const {
    for (const File* file : {&specials_, &config_}) {
      Fields f(file->json, file->place);
      const Json* const value = f.raw(name);
      if (!value) continue;
      if (value->is_object()) return read_added(*value, file->place.in(name), file == &specials_);
      return AddedToken{.content = f.text(name)};
    }
    return fallback.empty() ? std::nullopt : std::optional(AddedToken{.content = std::string(fallback)});
  }

  std::vector<std::string> more_specials() const {
    std::vector<std::string> all;
    for (const File* file : {&config_, &specials_})
      for (const char* name : {"additional_special_tokens", "extra_special_tokens"}) {
        Fields f(file->json, file->place);
        const Json* const list = f.raw(name);
        if (!list || (list->is_object() && list->empty())) continue;
        for (const std::string& token : f.texts(name)) all.push_back(token);
        if (all.size() > most_added) f.wrong(name, "too many tokens", "at most " + std::to_string(most_added));
      }
    return all;
  }

  int max_length() const {
    const double n = fields().number("model_max_length", 2, 1e40, clip_length);
    if (n > no_limit) return clip_length;
    if (n != int(n)) fields().wrong("model_max_length", "not a whole number");
    return int(n);
  }

  Fields fields() const { return Fields(config_.json, config_.place); }
  const Place& place() const { return config_.place; }

 private:
  struct File {
    Json json;
    Place place;
  };
  static File read(const std::optional<std::string>& text, const std::string& path) {
    File file{text ? io::parse_json(*text, {.path = path}) : Json::object(), {.path = path}};
    Fields check(file.json, file.place);
    return file;
  }
  File config_, specials_, added_;
};

const AddedToken* find(const std::vector<AddedToken>& tokens, std::string_view content) {
  const auto found = std::find_if(tokens.begin(), tokens.end(), [&](const AddedToken& t) { return t.content == content; });
  return found != tokens.end() ? &*found : nullptr;
}

void check_count(const Tables& t, const Place& place) {
  if (t.added.size() > most_added)
    bad_file(place, "too many added tokens", "at most " + std::to_string(most_added), std::to_string(t.added.size()));
}

// Checks the ids of the added tokens; those that vocab.json lacks come behind it.
void number_added(Tables& t, const TokenIndex& index, const Place& place) {
  check_count(t, place);
  std::sort(t.added.begin(), t.added.end(), [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  std::set<std::string_view> seen;
  for (const AddedToken& a : t.added) {
    const Place here = place.in(a.content);
    const Token known = index.find(a.content);
    const Token expected = known >= 0 ? known : Token(t.tokens.size());
    if (!seen.insert(a.content).second) bad_file(here, "the token is added twice");
    if (a.id != expected)
      bad_file(here, known >= 0 ? "the added token's id differs from vocab.json's" : "the ids of added tokens do not follow vocab.json's",
               std::to_string(expected), std::to_string(a.id));
    if (known < 0) t.tokens.push_back(a.content);
  }
}

// The named tokens join the listed ones, as transformers 5 does it: a name that is listed keeps the list's flags; of
// others with the same text the last one's flags hold.
void read_specials(Tables& t, const SpecialFiles& files, const TokenIndex& index) {
  t.added = files.added();
  check_count(t, files.place());
  const std::size_t listed = t.added.size();
  const auto add = [&](AddedToken token, const std::string& name) {
    AddedToken* known = const_cast<AddedToken*>(find(t.added, token.content));
    if (known && known < t.added.data() + listed) return;
    token.id = index.find(token.content);
    token.special = true;
    if (token.id < 0) bad_file(files.place().in(name), "the special token is unknown", "a token of vocab.json or an added one", "\"" + token.content + "\"");
    if (known) *known = std::move(token);
    else t.added.push_back(std::move(token));
  };
  const auto named = [&](const std::string& name, std::string_view fallback) {
    const std::optional<AddedToken> token = files.named(name, fallback);
    if (token) add(*token, name);
    return token ? token->content : std::string{};
  };
  t.start_name = named("bos_token", start_literal);
  t.end_name = named("eos_token", end_literal);
  t.unknown_name = named("unk_token", end_literal);
  named("sep_token", {});
  t.pad_name = named("pad_token", end_literal);
  named("cls_token", {});
  named("mask_token", {});
  for (const std::string& token : files.more_specials()) add({.content = token}, "additional_special_tokens");
}

std::shared_ptr<const Tables> parse_tables(const ClipTokenizerFiles& files, const std::string& folder, ClipTokenizerOptions options) {
  auto t = std::make_shared<Tables>();
  t->options = options;
  const Place vocab{.path = folder + "/vocab.json"};
  t->tokens = read_vocabulary(files.vocab, vocab);
  t->vocabulary = t->tokens.size();
  const TokenIndex index(t->tokens);
  find_bytes(*t, index, vocab);
  t->merge_list = read_merges(files.merges, index, {.path = folder + "/merges.txt"});
  t->merges = Merges(t->merge_list);

  const SpecialFiles specials(files, folder);
  read_specials(*t, specials, index);
  number_added(*t, index, specials.place());
  for (const AddedToken& a : t->added) (a.normalised ? t->cleaned : t->raw).add(a.normalised ? normalised_hf(a.content) : a.content, a.id);
  t->start = find(t->added, t->start_name)->id;
  t->end = find(t->added, t->end_name)->id;
  t->pad = find(t->added, t->pad_name)->id;
  t->start_literal = index.find(start_literal);
  t->end_literal = index.find(end_literal);
  t->max_length = specials.max_length();
  return t;
}

std::string merges_text(const Tables& t) {
  std::string text = "#version: 0.2\n";
  for (const Merge& m : t.merge_list) text += t.tokens[std::size_t(m.left)] + " " + t.tokens[std::size_t(m.right)] + "\n";
  return text;
}

std::string config_json(const Tables& t) {
  Json decoder = Json::object();
  for (const AddedToken& a : t.added)
    decoder[std::to_string(a.id)] = {{"content", a.content}, {"lstrip", false}, {"normalized", a.normalised}, {"rstrip", false},
                                     {"single_word", false}, {"special", a.special}};
  const Json config = {{"added_tokens_decoder", decoder}, {"bos_token", t.start_name}, {"do_lower_case", true}, {"eos_token", t.end_name},
                       {"errors", "replace"}, {"model_max_length", t.max_length}, {"pad_token", t.pad_name},
                       {"tokenizer_class", "CLIPTokenizer"}, {"unk_token", t.unknown_name}};
  return config.dump(2) + "\n";
}

std::string specials_json(const Tables& t) {
  return Json{{"bos_token", t.start_name}, {"eos_token", t.end_name}, {"pad_token", t.pad_name}, {"unk_token", t.unknown_name}}.dump(2) + "\n";
}

std::optional<std::string> read_if_there(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) return {};
  return io::File(path).text(most_config_bytes);
}

}  // namespace

std::string vocabulary_json(std::span<const std::string> tokens) {
  std::string text = "{";
  for (std::size_t id = 0; id < tokens.size(); ++id) text += (id ? ", " : "") + Json(tokens[id]).dump() + ": " + std::to_string(id);
  return text + "}\n";
}

}  // namespace sspo::clip

namespace sspo {

ClipTokenizer ClipTokenizer::parse(const ClipTokenizerFiles& files, const std::string& folder, ClipTokenizerOptions options) {
  return ClipTokenizer(clip::parse_tables(files, folder, options));
}

ClipTokenizer ClipTokenizer::open(const std::string& folder, ClipTokenizerOptions options) {
  const ClipTokenizerFiles files{.vocab = io::File(folder + "/vocab.json").text(clip::most_bytes),
                                 .merges = io::File(folder + "/merges.txt").text(clip::most_bytes),
                                 .config = clip::read_if_there(folder + "/tokenizer_config.json"),
                                 .specials = clip::read_if_there(folder + "/special_tokens_map.json"),
                                 .added = clip::read_if_there(folder + "/added_tokens.json")};
  return parse(files, folder, options);
}

ClipTokenizerFiles ClipTokenizer::files() const {
  return {.vocab = clip::vocabulary_json(std::span(tables_->tokens).first(tables_->vocabulary)), .merges = clip::merges_text(*tables_), .config = clip::config_json(*tables_),
          .specials = clip::specials_json(*tables_), .added = {}};
}

void ClipTokenizer::save(const std::string& folder) const {
  const ClipTokenizerFiles all = files();
  io::write_file(folder + "/vocab.json", all.vocab);
  io::write_file(folder + "/merges.txt", all.merges);
  io::write_file(folder + "/special_tokens_map.json", *all.specials);
  io::write_file(folder + "/tokenizer_config.json", *all.config);
}

}  // namespace sspo
