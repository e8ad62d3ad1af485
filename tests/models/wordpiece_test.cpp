#include "sspo/models/wordpiece.hpp"

#include "models/golden.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

const WordPiece& golden_tokenizer() {
  static const WordPiece t = WordPiece::open(SSPO_SOURCE_DIR "/tests/golden/wordpiece/vocab.txt");
  return t;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) bytes.push_back(char(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

WordPiece of(std::initializer_list<const char*> tokens) {
  std::string vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
  for (const char* token : tokens) vocab += token + std::string("\n");
  return WordPiece::parse(vocab, {.path = "vocab.txt"});
}

using Ids = std::vector<std::int32_t>;

}  // namespace

TEST_CASE("wordpiece: the ids of transformers' BertTokenizer, cut to 35") {
  const GoldenJson cases = golden_file("wordpiece/cases.json");
  REQUIRE(cases.size() > 300);
  std::size_t unknown = 0, pieces = 0;
  for (const GoldenJson& row : cases) {
    const std::string text = row[0].is_array() ? from_hex(row[0][0].get<std::string>()) : row[0].get<std::string>();
    CAPTURE(row.dump());
    const Ids ids = golden_tokenizer().encode(text, 35);
    CHECK(ids == row[1].get<Ids>());
    for (const std::int32_t id : ids) unknown += golden_tokenizer().token(id) == "[UNK]", ++pieces;
  }
  CHECK(unknown * 2 < pieces);  // the cases say something
}

TEST_CASE("wordpiece: what is longer is cut before [SEP]; the two tokens of BLIP follow the vocabulary") {
  const WordPiece t = of({"fox", "##es", "the", "s"});
  CHECK(t.size() == 11);
  CHECK(t.token(9) == "[DEC]");
  CHECK(t.token(10) == "[ENC]");
  CHECK(t.pad() == 0);
  CHECK(t.encode("The foxes") == Ids{2, 7, 5, 6, 3});
  CHECK(t.encode("The foxes", 4) == Ids{2, 7, 5, 3});
  CHECK(t.encode("The foxes", 2) == Ids{2, 3});
  CHECK(t.encode("foxs [ENC]") == Ids{2, 1, 10, 3});  // "##s" is not there: the whole word is unknown
  CHECK(t.encode("") == Ids{2, 3});
  CHECK(of({"[ENC]"}).size() == 7);  // there already
  check_error([&] { t.encode("fox", 1); }, {"longest >= 2", "1"});
  check_error([&] { t.token(11); }, {"0 <= id < 11", "11"});
}

TEST_CASE("wordpiece: bad vocabularies are refused by line") {
  const auto parse = [](const std::string& text) { WordPiece::parse(text, {.path = "vocab.txt"}); };
  check_error([&] { of({"fox", "the", "fox"}); }, {"vocab.txt:8", "a token twice", "\"fox\", as in line 6"});
  check_error([&] { of({"fox", ""}); }, {"vocab.txt:7", "an empty line"});
  check_error([&] { of({"\xff"}); }, {"vocab.txt:6", "not UTF-8"});
  check_error([&] { parse("[PAD]\n[UNK]\n[CLS]\n[MASK]\nfox\n"); }, {"vocab.txt", "[SEP]", "5 tokens"});
  check_error([&] { parse(""); }, {"[UNK]", "0 tokens"});
  check_error([&] { WordPiece::open("/nowhere/vocab.txt"); }, {"/nowhere/vocab.txt"});
  CHECK(WordPiece::parse("[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\nfox", {.path = "v"}).encode("fox") == Ids{2, 5, 3});
}

TEST_CASE("wordpiece: long and hostile texts end soon") {
  const WordPiece t = of({"a", "##a"});
  CHECK(t.encode(std::string(2'000'000, 'a')) == Ids{2, 1, 3});
  CHECK(t.encode(std::string(1'000'000, '[')).size() == 1'000'002);
  std::string marks = "a";
  for (int i = 0; i < 300'000; ++i) marks += i % 2 ? "\u0301" : "\u0316";
  CHECK(t.encode(marks) == Ids{2, 5, 3});
}
