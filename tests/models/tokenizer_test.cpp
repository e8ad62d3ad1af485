// The tokenizer against transformers (golden/tokenizer, by golden/make_tokenizer.py) and the rules for its files.
#include "sspo/models/tokenizer.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "io/folder.hpp"
#include "io/json.hpp"
#include "sspo/models/bpe_trainer.hpp"
#include "support.hpp"

using namespace sspo;
using io::Json;
using testing::check_error;
using testing::error_of;
using Ids = std::vector<std::int32_t>;

namespace {

const std::string golden = std::string(SSPO_SOURCE_DIR) + "/tests/golden/tokenizer/";

std::string file(const std::string& path) { return io::File(path).text(64u << 20); }

ClipTokenizerFiles small_files() { return {file(golden + "vocab.json"), file(golden + "merges.txt"), {}, {}, {}}; }

ClipTokenizer small(ClipFlavour flavour = ClipFlavour::hf) { return ClipTokenizer::parse(small_files(), "t", {.flavour = flavour}); }

const Json& cases() {
  static const Json json = io::read_json(golden + "cases.json");
  return json;
}

std::string text_of(const Json& pieces) {  // [[hex, times], ...]
  std::string text;
  for (const Json& piece : pieces) {
    const std::string hex = piece[0].get<std::string>();
    std::string bytes;
    for (std::size_t i = 0; i < hex.size(); i += 2) bytes.push_back(char(std::stoi(hex.substr(i, 2), nullptr, 16)));
    for (int n = piece[1].get<int>(); n > 0; --n) text += bytes;
  }
  return text;
}

// The folder of third-party test data, or nothing.
std::string shared_data() {
  const char* const named = std::getenv("SSPO_TEST_DATA");
  const std::string folder = named ? named : std::string(SSPO_SOURCE_DIR) + "/../shared/data";
  return std::filesystem::exists(folder + "/clip-vocab/vocab.json") ? folder : "";
}

// The files with one of them changed must be refused with every part of a message.
template <class Change>
void refused(const Change& change, std::initializer_list<const char*> parts) {
  ClipTokenizerFiles files = small_files();
  change(files);
  check_error([&] { ClipTokenizer::parse(files, "t"); }, parts);
}
void replace(std::string& text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("tokenizer: ids, padding and text equal transformers' on nasty texts, under five configurations") {
  int compared = 0;
  for (const auto& item : cases()["configs"].items()) {
    const std::string name = item.key();
    const Json& configs = item.value();
    ClipTokenizerFiles files = small_files();
    if (configs.contains("tokenizer_config.json")) files.config = configs["tokenizer_config.json"].dump();
    if (configs.contains("special_tokens_map.json")) files.specials = configs["special_tokens_map.json"].dump();
    if (configs.contains("added_tokens.json")) files.added = configs["added_tokens.json"].dump();
    const ClipTokenizer tokenizer = ClipTokenizer::parse(files, name), again = ClipTokenizer::parse(tokenizer.files(), name);
    for (const Json& c : cases()["cases"]) {
      const std::string text = text_of(c["text"]);
      INFO(name << ": " << c["text"].dump().substr(0, 200));
      const Ids ids = tokenizer.encode(text);
      CHECK(ids == c.value(name, c["hf"].get<Ids>()));
      CHECK(again.encode(text) == ids);
      ++compared;
      if (name != "plain") continue;
      CHECK(tokenizer.padded(text, 12) == c["padded"].get<Ids>());
      CHECK(tokenizer.decode(ids) == c["decoded"].get<std::string>());
    }
  }
  CHECK(compared > 5 * 300);
}

TEST_CASE("tokenizer: the openai flavour equals OpenAI's clean-up without ftfy") {
  const ClipTokenizer tokenizer = small(ClipFlavour::openai);
  int differ = 0;
  for (const Json& c : cases()["cases"]) {
    INFO(c["text"].dump().substr(0, 200));
    differ += c.contains("openai");
    CHECK(tokenizer.encode(text_of(c["text"])) == (c.contains("openai") ? c["openai"] : c["hf"]).get<Ids>());
  }
  CHECK(differ > 50);  // the flavours are two
}

TEST_CASE("tokenizer: names, sizes, padding") {
  const ClipTokenizer t = small();
  CHECK(t.token(t.start()) == "<|startoftext|>");
  CHECK(t.token(t.end()) == "<|endoftext|>");
  CHECK(t.pad() == t.end());
  CHECK(t.max_length() == 77);
  CHECK(t.padded("a").size() == 77);
  CHECK(t.padded("a a a a", 2) == Ids{t.start(), t.end()});
  CHECK(t.encode("") == Ids{t.start(), t.end()});
  CHECK(t.decode(Ids{}) == "");
  check_error([&] { t.padded("a", 1); }, {"length >= 2", "got       1"});
  check_error([&] { t.token(t.size()); }, {"no such token", "0 <= id < 704", "704"});
  check_error([&] { t.decode(Ids{-1}); }, {"no such token", "-1"});

  ClipTokenizerFiles files = small_files();
  const auto max_length = [&](const char* config) { return files.config = config, ClipTokenizer::parse(files, "t").max_length(); };
  CHECK(max_length("{\"model_max_length\": 40}") == 40);
  CHECK(max_length("{\"model_max_length\": 1000000000000000019884624838656}") == 77);  // transformers' "no limit"
  CHECK(max_length("{\"model_max_length\": null}") == 77);
}

TEST_CASE("tokenizer: vocab.json is refused with the token's name") {
  using F = ClipTokenizerFiles;
  refused([](F& f) { f.vocab = ""; }, {"t/vocab.json@0", "ends too early"});
  refused([](F& f) { f.vocab = "[]"; }, {"t/vocab.json: not an object"});
  refused([](F& f) { f.vocab = "{}"; }, {"t/vocab.json: the token of a byte is missing", "\"Ā\" for byte 0"});
  refused([](F& f) { f.vocab = "{\"a\": {\"b\": 1}}"; }, {"t/vocab.json", "nested too deeply"});
  refused([](F& f) { replace(f.vocab, "\"#\": 2,", "\"#\": 1,"); }, {"t/vocab.json: #: the id belongs to another token, too", "got 1, which is \"\"\""});
  refused([](F& f) { replace(f.vocab, "\"#\": 2,", ""); }, {"t/vocab.json", "the ids are not 0 to the number of tokens - 1", "got 703"});
  for (const char* id : {"-1", "2.0", "2.5", "\"2\"", "null", "true", "99999999999999999999", "[]", "704"})
    refused([&](F& f) { replace(f.vocab, "\"#\": 2,", std::string("\"#\": ") + id + ","); }, {"t/vocab.json"});
  refused([](F& f) { replace(f.vocab, "\"#\": 2,", "\"#\": 2, \"#\": 2,"); }, {"t/vocab.json@", "\"#\" is there twice"});
  refused([](F& f) { replace(f.vocab, "\"Ġ\": ", "\"Ġx\": "); }, {"the token of a byte is missing", "\"Ġ\" for byte 32"});
  refused([](F& f) { replace(f.vocab, "\"Ġ</w>\": ", "\"Ġx\": "); }, {"the token of a byte is missing", "\"Ġ</w>\" for byte 32"});
  refused([](F& f) { replace(f.vocab, "<|endoftext|>", "<|end|>"); }, {"t/tokenizer_config.json: eos_token: the special token is unknown", "got \"<|endoftext|>\""});
  refused([](F& f) { replace(f.vocab, "\"#\"", "\"\xff\""); }, {"t/vocab.json@", "not UTF-8"});
}

TEST_CASE("tokenizer: merges.txt is refused with the line") {
  using F = ClipTokenizerFiles;
  const std::size_t lines = [] { const std::string m = small_files().merges; return std::size_t(std::count(m.begin(), m.end(), '\n')); }();
  const auto with = [&](const std::string& line, std::initializer_list<const char*> parts) {
    refused([&](F& f) { f.merges += line; }, parts);
    const std::string at = "t/merges.txt:" + std::to_string(lines + 1) + ": ";
    refused([&](F& f) { f.merges += line; }, {at.c_str()});
  };
  with("a", {"not a merge", "two tokens with one blank between them", "got \"a\""});
  with("a b c\n", {"not a merge"});
  with("a  b\n", {"not a merge"});
  with(" a\n", {"not a merge"});
  with("a \n", {"not a merge"});
  with("\na b\n", {"not a merge"});
  with("#version: 0.2\n", {"the left part is no token", "\"#version:\""});
  with("qq b\n", {"the left part is no token", "a token of vocab.json", "\"qq\""});
  with("a q\xff\n", {"the right part is no token"});
  with("~ ~\n", {"the merged token is unknown", "\"~~\""});
  with("a\tb\n", {"not a merge", "\\x09"});
  refused([](F& f) { f.merges = "i n\nt h\ni n\n"; }, {"t/merges.txt:3: the merge is there twice", "the same as line 1"});
  refused([](F& f) { f.merges = "#version: 0.2\ni n\nt h\nt h\n"; }, {"t/merges.txt:4: the merge is there twice", "the same as line 3"});

  ClipTokenizerFiles files = small_files();
  const Ids ids = small().encode("the lighthouse");
  files.merges.pop_back();  // no line end at the last line
  CHECK(ClipTokenizer::parse(files, "t").encode("the lighthouse") == ids);
  for (std::size_t at = 0; (at = files.merges.find('\n', at)) != std::string::npos; at += 2) files.merges.insert(at, "\r");
  CHECK(ClipTokenizer::parse(files, "t").encode("the lighthouse") == ids);
  files.merges = "";
  CHECK(ClipTokenizer::parse(files, "t").encode("the").size() == 5);
}

TEST_CASE("tokenizer: special and added tokens are refused with file and field") {
  const auto config = [](const char* text, std::initializer_list<const char*> parts) { refused([&](auto& f) { f.config = text; }, parts); };
  config("[]", {"t/tokenizer_config.json: not an object"});
  config("{\"model_max_length\": 1}", {"t/tokenizer_config.json: model_max_length"});
  config("{\"model_max_length\": 7.5}", {"t/tokenizer_config.json: model_max_length: not a whole number"});
  config("{\"pad_token\": \"<pad>\"}", {"t/tokenizer_config.json: pad_token: the special token is unknown", "\"<pad>\""});
  config("{\"pad_token\": 7}", {"t/tokenizer_config.json: pad_token"});
  config("{\"pad_token\": {\"text\": \"!\"}}", {"t/tokenizer_config.json: pad_token.content"});
  config("{\"pad_token\": {\"content\": \"!\", \"single_word\": true}}", {"pad_token.single_word", "not supported"});
  config("{\"added_tokens_decoder\": {\"x\": {\"content\": \"!\"}}}", {"added_tokens_decoder.x: not a token id"});
  config("{\"added_tokens_decoder\": {\"1\": {\"content\": \"!\"}}}", {"t/tokenizer_config.json: !: ", "differs from vocab.json's", "expected 0, got 1"});
  config("{\"added_tokens_decoder\": {\"705\": {\"content\": \"<x>\"}}}", {"do not follow", "expected 704, got 705"});
  config("{\"added_tokens_decoder\": {\"704\": {\"content\": \"\"}}}", {"added_tokens_decoder.704.content: is empty"});
  config("{\"added_tokens_decoder\": {\"704\": {\"content\": \"<x>\"}, \"705\": {\"content\": \"<x>\"}}}", {"<x>: the token is added twice"});
  config("{\"additional_special_tokens\": [\"<x>\"]}", {"additional_special_tokens: the special token is unknown"});
  refused([](auto& f) { f.specials = "{\"bos_token\": \"<x>\"}"; }, {"bos_token: the special token is unknown", "\"<x>\""});
  refused([](auto& f) { f.added = "{\"<x>\": -1}"; }, {"t/added_tokens.json: <x>: not a token id", "got -1"});
}

TEST_CASE("tokenizer: open, save, open again; missing files") {
  testing::TempFolder folder;
  check_error([&] { ClipTokenizer::open(folder.path()); }, {"/vocab.json"});
  small().save(folder.path());
  const ClipTokenizer again = ClipTokenizer::open(folder.path());
  CHECK(again.files().vocab == small_files().vocab);
  CHECK(again.files().merges == small_files().merges);
  CHECK(again.files().config == small().files().config);
  CHECK(again.encode("The lighthouse!") == small().encode("The lighthouse!"));
  std::filesystem::remove(folder / "merges.txt");
  check_error([&] { ClipTokenizer::open(folder.path()); }, {"/merges.txt"});
}

TEST_CASE("tokenizer: a megabyte of anything") {
  const ClipTokenizer hf = small(), openai = small(ClipFlavour::openai);
  constexpr std::size_t size = 1 << 20;
  for (const char* piece : {"a", "lighthouse", "the ", "!", "<", "<|endoftext|>", "\xff", "\u0301\u0323", "\u4e2d", "&", "&amp", "\u03a3'", "\xf0\x9f\x98"}) {
    std::string text;
    while (text.size() < size) text += piece;
    const Ids ids = hf.encode(text);
    CHECK(ids.size() > 1000);
    CHECK(std::all_of(ids.begin(), ids.end(), [&](std::int32_t id) { return id >= 0 && id < hf.size(); }));
    CHECK(openai.encode(text).front() == openai.start());
  }
  // One long word ends as its halves do: whole repetitions inside, one with the mark of the end.
  std::string word;
  for (int i = 0; i < 1000; ++i) word += "lighthouse";
  const Ids one = hf.encode("lighthouselighthouse"), many = hf.encode(word);
  CHECK(std::equal(one.rbegin(), one.rbegin() + 2, many.rbegin()));
}

TEST_CASE("tokenizer: 1,632 prompts with CLIP's own vocabulary") {
  const std::string data = shared_data();
  if (data.empty()) {
    MESSAGE("skipped: no SSPO_TEST_DATA");
    return;
  }
  const ClipTokenizer hf = ClipTokenizer::open(data + "/clip-vocab");
  const ClipTokenizer openai = ClipTokenizer::open(data + "/clip-vocab", {.flavour = ClipFlavour::openai});
  CHECK(hf.size() == 49408);
  const std::string text = file(data + "/clip-golden/partiprompts.jsonl");
  const ClipTokenizer repairing = ClipTokenizer::open(data + "/clip-vocab", {.flavour = ClipFlavour::ftfy});
  int rows = 0, equal = 0, openai_equal = 0, ftfy = 0, ftfy_equal = 0;
  for (std::size_t at = 0; at < text.size(); ++rows) {
    const std::size_t end = text.find('\n', at);
    const Json row = io::parse_json(std::string_view(text).substr(at, end - at), {.path = "partiprompts.jsonl"});
    at = end + 1;
    const std::string prompt = row["prompt"].get<std::string>();
    equal += hf.encode(prompt) == row["hf"].get<Ids>();
    openai_equal += openai.encode(prompt) == row["hf"].get<Ids>();
    ftfy += !row["ftfy"].is_null();
    ftfy_equal += repairing.encode(prompt) == row[row["ftfy"].is_null() ? "hf" : "ftfy"].get<Ids>();
  }
  CHECK(rows == 1632);
  CHECK(equal == rows);
  CHECK(openai_equal == rows);  // without ftfy nothing in these prompts differs; with it these rows would:
  CHECK(ftfy == 12);
  CHECK(ftfy_equal == rows);
}

TEST_CASE("BPE trainer: the bytes of the plain algorithm in golden/make_tokenizer.py") {
  std::vector<std::string> lines;
  const std::string corpus = file(golden + "corpus.txt");
  for (std::size_t at = 0, end; (end = corpus.find('\n', at)) != std::string::npos; at = end + 1) lines.push_back(corpus.substr(at, end - at));
  const ClipTokenizerFiles trained = train_bpe(lines, {.size = 900}).files();
  CHECK(trained.vocab == small_files().vocab);
  CHECK(trained.merges == small_files().merges);

  std::reverse(lines.begin(), lines.end());
  CHECK(train_bpe(lines, {.size = 900}).files().merges == trained.merges);  // the order of lines plays no part
  const ClipTokenizer fewer = train_bpe(lines, {.size = 600, .max_length = 16});
  CHECK(fewer.size() == 600);
  CHECK(trained.merges.substr(0, fewer.files().merges.size()) == fewer.files().merges);
  CHECK(fewer.padded("a fox").size() == 16);
}

TEST_CASE("BPE trainer: nothing to learn, and bad options") {
  CHECK(train_bpe({}).size() == 514);
  CHECK(train_bpe(std::vector<std::string>{"a b c", ""}).size() == 514);
  CHECK(train_bpe(std::vector<std::string>{"\xff\xfe", "ab"}, {.fewest = 1}).size() == 514 + 5);  // two U+FFFD, one word of 6 bytes: 4; ab: 1
  check_error([] { train_bpe({}, {.size = 513}); }, {"train_bpe: size is out of range", "514", "got       513"});
  check_error([] { train_bpe({}, {.fewest = 0}); }, {"fewest"});
  check_error([] { train_bpe({}, {.max_length = 1}); }, {"max_length"});
}
