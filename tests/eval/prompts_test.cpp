// Files of prompts: each form, how it is told, and what is wrong with the others. PartiPrompts itself where it lies.
#include <cstdlib>
#include <filesystem>

#include "sspo/eval/prompts.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::testing;

namespace {

PromptSet parse(std::string_view bytes, const char* name = "f") { return parse_prompts(bytes, {.path = name}); }
void refused(std::string_view bytes, const char* name, std::initializer_list<const char*> parts, const PromptLimits& limits = {}) {
  const std::string text = error_of([&] { parse_prompts(bytes, {.path = name}, limits); });
  INFO(text);
  for (const char* part : parts) {
    INFO(std::string(part));
    CHECK(text.find(part) != std::string::npos);
  }
  CHECK(text.find('\n') == std::string::npos);
}
const std::string head = "Prompt\tCategory\tChallenge\tNote\n";

}  // namespace

TEST_CASE("prompts: PartiPrompts' table") {
  const PromptSet set = parse("\xEF\xBB\xBF" + head + "a \"red\" fox\tAnimals\tBasic\t\r\n\nlife\tAbstract\tBasic\tnote\n");
  CHECK(set.form == PromptForm::parti);
  REQUIRE(set.prompts.size() == 2);
  CHECK(set.prompts[0].text == "a \"red\" fox");  // quotes are the prompt's own
  CHECK(set.prompts[0].category == "Animals");
  CHECK(set.prompts[1].at == ":4");
  CHECK(set.categories() == std::vector<std::string>{"Animals", "Abstract"});
  refused(head + "a\tb\tc\n", "p.tsv", {"p.tsv:2: ", "3 tabs", "2 tabs"});
  refused(head + " \tb\tc\td\n", "p.tsv", {"p.tsv:2: Prompt: an empty prompt"});
  refused(head, "p.tsv", {"p.tsv: no prompt"});
  refused("Prompt\tCategory\nx\ty\n", "p.tsv", {"p.tsv:1: ", "Prompt, Category, Challenge, Note"});
  refused(head + "caf\xE9\tb\tc\td\n", "p", {"p:2: Prompt: not UTF-8, at byte 4"});
  refused(head + "cafe\tb\xFF\tc\td\n", "p", {"p:2: category: not UTF-8"});
}

TEST_CASE("prompts: lists, objects, lines") {
  const PromptSet list = parse(" [\"a cat\", \"a dog\\n\"] ");
  CHECK(list.form == PromptForm::hpsv2);
  REQUIRE(list.prompts.size() == 2);
  CHECK(list.prompts[1].at == "[1]");
  refused("[\"a\", 3]", "anime.json", {"anime.json: [1]: no text", "number"});
  refused("{\"a\": 1}", "anime.json", {"anime.json: no list of prompts", "object"});
  refused("[\"a\",", "anime.json", {"anime.json@5"});
  refused("[[[[[[[[[\"a\"]]]]]]]]]", "anime.json", {"anime.json"});
  refused("[\"\"]", "anime.json", {"[0]: an empty prompt"});

  const PromptSet objects = parse("{\"tag\": \"single_object\", \"include\": [{\"class\": \"bench\", \"count\": 1}], \"prompt\": \"a photo of a bench\"}\n\n{\"prompt\": \"x\"}");
  CHECK(objects.form == PromptForm::geneval);
  REQUIRE(objects.prompts.size() == 2);
  CHECK(objects.prompts[0].category == "single_object");
  CHECK(objects.prompts[1].at == ":3");
  refused("{\"prompt\": \"x\"}\n{\"tag\": \"y\"}\n", "g.jsonl", {"g.jsonl:2: prompt: "});
  refused("{\"prompt\": 7}\n", "g.jsonl", {"g.jsonl:1: prompt: "});
  refused("{\"prompt\": \"x\", \"prompt\": \"y\"}\n", "g.jsonl", {"g.jsonl:1"});
  refused("a cat\n", "g.jsonl", {"g.jsonl:1"});

  const PromptSet lines = parse("a cat\n[a strange one\n  \nlast");
  CHECK(lines.form == PromptForm::text);
  CHECK(lines.prompts.size() == 3);
  CHECK(parse("[\"quoted\"]\n", "f.txt").form == PromptForm::text);  // the name decides
  refused("", "f.txt", {"f.txt: no prompt"});
  refused(" \n\t\n", "f.txt", {"f.txt: no prompt"});
  refused("a\nb\xC3\n", "f.txt", {"f.txt:2: not UTF-8, at byte 2"});
  refused(std::string_view("a\0b\n", 4), "f.txt", {"f.txt:1: not UTF-8, at byte 2"});
  refused("a\nb\nc\n", "f.txt", {"f.txt:3: too many prompts", "at most 2"}, {.prompts = 2});
  refused("abcdef\n", "f.txt", {"f.txt:1: the text is too long", "at most 5"}, {.text = 5});
}

TEST_CASE("prompts: the digest is of texts and categories, not of the form they came in") {
  CHECK(parse("a\nb\n").digest == parse("[\"a\", \"b\"]").digest);
  CHECK(parse("a\nb\n").digest != parse("b\na\n").digest);
  CHECK(parse("ab\n").digest != parse("a\nb\n").digest);
  CHECK(parse("a\nb\n").digest != parse(head + "a\tc\t\t\nb\tc\t\t\n").digest);
}

TEST_CASE("prompts: folders and files") {
  namespace fs = std::filesystem;
  const fs::path folder = "prompts_test";
  fs::remove_all(folder);
  fs::create_directories(folder / "empty");
  for (const char* style : {"photo", "anime", "paintings"}) io::write_file((folder / (std::string(style) + ".json")).string(), "[\"" + std::string(style) + " of a cat\"]");
  check_error([&] { read_prompts(folder.string()); }, {"a style of HPSv2's four is missing", "concept-art.json"});
  io::write_file((folder / "concept-art.json").string(), "[\"a cat\", \"a dog\"]");
  const PromptSet set = read_prompts(folder.string());
  REQUIRE(set.prompts.size() == 5);
  CHECK(set.categories() == std::vector<std::string>{"anime", "concept-art", "paintings", "photo"});
  CHECK(set.prompts[2].text == "a dog");
  CHECK(read_prompts((folder / "anime.json").string()).prompts.size() == 1);
  check_error([&] { read_prompts((folder / "empty").string()); }, {"a folder without prompts"});
  check_error([&] { read_prompts((folder / "none.txt").string()); }, {"none.txt"});

  const fs::path golden = fs::path(SSPO_SOURCE_DIR) / "tests/golden/data";
  std::size_t parquets = 0;
  for (const fs::directory_entry& e : fs::recursive_directory_iterator(golden)) {
    if (e.path().extension() != ".parquet") continue;
    try {
      const PromptSet p = read_prompts(e.path().string());
      CHECK(p.form == PromptForm::parquet);
      CHECK(p.prompts[0].at == ":1");
      ++parquets;
    } catch (const Error& error) {
      CHECK(error.info().kind == ErrorKind::file);
    }
  }
  CHECK(parquets > 0);
  io::write_file((folder / "cut.parquet").string(), "PAR1 and no more PAR1");
  check_error([&] { read_prompts((folder / "cut.parquet").string()); }, {"cut.parquet"});
}

TEST_CASE("prompts: PartiPrompts whole") {
  const char* const data = std::getenv("SSPO_TEST_DATA");
  const std::string path = std::string(data ? data : SSPO_SOURCE_DIR "/../shared/data") + "/prompts/PartiPrompts.tsv";
  if (!std::filesystem::exists(path)) {
    MESSAGE("skipped: no SSPO_TEST_DATA");
    return;
  }
  const PromptSet set = read_prompts(path);
  CHECK(set.form == PromptForm::parti);
  CHECK(set.prompts.size() == 1632);
  CHECK(set.categories().size() == 12);
  CHECK(set.prompts.back().at == ":1633");
}
