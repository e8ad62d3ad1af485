// tokenizer_config.json, special_tokens_map.json and added_tokens.json: which tokens are found in a text as they stand.
#include <algorithm>
#include <charconv>
#include <set>

#include "io/json.hpp"
#include "models/text_cleanup.hpp"
#include "models/tokenizer_parts.hpp"

namespace sspo::clip {
namespace {

using io::bad_file;
using io::Fields;
using io::Json;
using io::Place;

constexpr std::uint64_t most_ids = 1u << 21;
constexpr std::size_t longest_added = 256, most_added = 10'000;
constexpr int no_limit = 1'000'000, clip_length = 77;

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
      const bool good = id.is_number_unsigned() && id.get<std::uint64_t>() < most_ids;
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
void add_named(Tables& t, const SpecialFiles& files, const TokenIndex& index) {
  t.added = files.added();
  check_count(t, files.place());
  const std::size_t listed = t.added.size();
  const auto add = [&](AddedToken token, const std::string& name) {
    AddedToken* known = const_cast<AddedToken*>(find(t.added, token.content));
    if (known && known < t.added.data() + listed) return;
    token.id = index.find(token.content);
    token.special = true;
    if (token.id < 0)
      bad_file(files.place().in(name), "the special token is unknown", "a token of vocab.json or an added one", "\"" + token.content + "\"");
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

}  // namespace

void read_specials(Tables& t, const ClipTokenizerFiles& files, const std::string& folder, const TokenIndex& index) {
  const SpecialFiles specials(files, folder);
  add_named(t, specials, index);
  number_added(t, index, specials.place());
  for (const AddedToken& a : t.added) {
    if (a.normalised) t.cleaned.add(normalised_hf(a.content), a.id);
    else t.raw.add(a.content, a.id);
  }
  t.start = find(t.added, t.start_name)->id;
  t.end = find(t.added, t.end_name)->id;
  t.pad = find(t.added, t.pad_name)->id;
  t.start_literal = index.find(start_literal);
  t.end_literal = index.find(end_literal);
  t.max_length = specials.max_length();
}

}  // namespace sspo::clip
