// A tokenizer folder, read and written.
#include <filesystem>

#include "io/json.hpp"
#include "models/tokenizer_parts.hpp"

namespace sspo::clip {
namespace {

using io::Json;
using io::Place;

constexpr std::uint64_t most_bytes = 64u << 20, most_config_bytes = 16u << 20;

std::shared_ptr<const Tables> parse_tables(const ClipTokenizerFiles& files, const std::string& folder,
                                           ClipTokenizerOptions options) {
  auto t = std::make_shared<Tables>();
  t->options = options;
  const Place vocab{.path = folder + "/vocab.json"};
  t->tokens = read_vocabulary(files.vocab, vocab);
  t->vocabulary = t->tokens.size();
  const TokenIndex index(t->tokens);
  find_bytes(*t, index, vocab);
  t->merge_list = read_merges(files.merges, index, {.path = folder + "/merges.txt"});
  t->merges = Merges(t->merge_list);
  read_specials(*t, files, folder, index);
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
  const Json names = {{"bos_token", t.start_name}, {"eos_token", t.end_name}, {"pad_token", t.pad_name}, {"unk_token", t.unknown_name}};
  return names.dump(2) + "\n";
}

std::optional<std::string> read_if_there(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) return {};
  return io::File(path).text(most_config_bytes);
}

// tokenizer.json, which transformers 5 writes in place of the two files: the same vocabulary and merges in one.
ClipTokenizerFiles files_of_tokenizer_json(const std::string& path) {
  const Json json = io::read_json(path, most_bytes);
  const Place place{.path = path};
  const auto part = [&](const Json& in, const char* name, const Place& at, bool right, const char* expected) -> const Json& {
    if (!right) io::bad_file(at.in(name), "missing or of another type", expected);
    return in.at(name);
  };
  if (!json.is_object() || !json.contains("model") || !json["model"].is_object()) io::bad_file(place.in("model"), "missing or of another type", "an object");
  const Json& model = json["model"];
  const Place in_model = place.in("model");
  if (model.value("type", Json("BPE")) != Json("BPE")) io::bad_file(in_model.in("type"), "unsupported", "\"BPE\"");
  const Json& vocab = part(model, "vocab", in_model, model.contains("vocab") && model["vocab"].is_object(), "an object");
  const Json& merges = part(model, "merges", in_model, model.contains("merges") && model["merges"].is_array(), "a list");
  ClipTokenizerFiles files;
  files.vocab = vocab.dump();
  files.merges = "#version: 0.2\n";
  for (std::size_t i = 0; i < merges.size(); ++i) {  // "a b", or ["a", "b"]
    const Json& m = merges[i];
    if (m.is_string()) files.merges += m.get_ref<const std::string&>() + "\n";
    else if (m.is_array() && m.size() == 2 && m[0].is_string() && m[1].is_string())
      files.merges += m[0].get_ref<const std::string&>() + " " + m[1].get_ref<const std::string&>() + "\n";
    else io::bad_file(in_model.in("merges[" + std::to_string(i) + "]"), "no merge", "\"a b\" or [\"a\", \"b\"]");
  }
  Json added = Json::object();
  if (json.contains("added_tokens") && json["added_tokens"].is_array())
    for (const Json& token : json["added_tokens"])
      if (token.is_object() && token.contains("id") && token["id"].is_number_integer() && token.contains("content") && token["content"].is_string() &&
          !vocab.contains(token["content"].get_ref<const std::string&>()))
        added[token["content"].get_ref<const std::string&>()] = token["id"];
  if (!added.empty()) files.added = added.dump();
  return files;
}

ClipTokenizerFiles read_files(const std::string& folder) {
  std::error_code error;
  const bool one_file = !std::filesystem::exists(folder + "/vocab.json", error) && std::filesystem::exists(folder + "/tokenizer.json", error);
  ClipTokenizerFiles files;
  if (one_file) files = files_of_tokenizer_json(folder + "/tokenizer.json");
  else {
    files.vocab = io::File(folder + "/vocab.json").text(most_bytes);
    files.merges = io::File(folder + "/merges.txt").text(most_bytes);
  }
  files.config = read_if_there(folder + "/tokenizer_config.json");
  files.specials = read_if_there(folder + "/special_tokens_map.json");
  if (!files.added) files.added = read_if_there(folder + "/added_tokens.json");
  return files;
}

}  // namespace

std::string vocabulary_json(std::span<const std::string> tokens) {
  std::string text = "{";
  for (std::size_t id = 0; id < tokens.size(); ++id)
    text += (id ? ", " : "") + Json(tokens[id]).dump() + ": " + std::to_string(id);
  return text + "}\n";
}

}  // namespace sspo::clip

namespace sspo {

ClipTokenizer ClipTokenizer::parse(const ClipTokenizerFiles& files, const std::string& folder, ClipTokenizerOptions options) {
  return ClipTokenizer(clip::parse_tables(files, folder, options));
}

ClipTokenizer ClipTokenizer::open(const std::string& folder, ClipTokenizerOptions options) {
  const ClipTokenizerFiles files = clip::read_files(folder);
  return parse(files, folder, options);
}

ClipTokenizerFiles ClipTokenizer::files() const {
  const auto in_file = std::span(tables_->tokens).first(tables_->vocabulary);
  return {.vocab = clip::vocabulary_json(in_file), .merges = clip::merges_text(*tables_), .config = clip::config_json(*tables_),
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
