#include "sspo/io/dataset.hpp"

#include <filesystem>

#include "io/folder.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::io;
using testing::check_error;
using testing::TempFolder;
namespace fs = std::filesystem;

namespace {

std::vector<Row> parse(std::string_view text) {
  BadSamples none;
  return parse_metadata(text, {.path = "m.jsonl"}, none);
}
void refused(std::string_view text, std::initializer_list<const char*> parts) { check_error([&] { parse(text); }, parts); }

Image checks(Index width, Index height) {  // every pixel another
  Image image = make_image(width, height);
  for (std::size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = std::uint8_t(7 * i + i / 256);
  return image;
}

}  // namespace

TEST_CASE("metadata: all fields of a sample, BOM, CRLF, blank lines") {
  const auto rows = parse("\xef\xbb\xbf{\"file_name\": \"train/a.png\", \"text\": \"a cat\", \"style\": \"noto\", \"keywords\": [\"pet\", \"\\u00e9\"], \"label\": 3, \"x\": [1.5, null], \"gone\": null}\r\n"
                          "\n  \r\n{\"caption\": \"\", \"winner_file_name\": \"w.png\", \"loser_file_name\": \"l.png\", \"label\": \"three\"}");
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].picture == "train/a.png");
  CHECK(rows[0].loser.empty());
  CHECK(rows[0].text == "a cat");
  CHECK(rows[0].keywords == std::vector<std::string>{"pet", "\xc3\xa9"});
  CHECK(rows[0].field("style") == "noto");
  CHECK(rows[0].field("label") == "3");
  CHECK(rows[0].field("x") == "[1.5,null]");
  CHECK(rows[0].field("split") == "");
  CHECK(rows[0].fields.size() == 3);
  CHECK(rows[0].line == 1);
  CHECK(rows[1].picture == "w.png");
  CHECK(rows[1].loser == "l.png");
  CHECK(rows[1].text == "");
  CHECK(rows[1].fields == std::map<std::string, std::string>{{"label", "three"}});
  CHECK(rows[1].line == 4);
  CHECK(parse(R"({"file_name": "a", "text": "t", "caption": "c"})")[0].field("caption") == "c");  // the text wins
}

TEST_CASE("metadata: what is written reads the same") {
  std::vector<Row> rows = parse(R"({"file_name": "a", "loser_file_name": "b", "text": "x\ny \"z\"", "keywords": ["k"], "n": 1, "split": "train"})");
  CHECK(parse(metadata_line(rows[0])) == rows);
  CHECK(metadata_line({.picture = "a.png", .text = "t"}) == "{\"file_name\":\"a.png\",\"text\":\"t\"}\n");
  check_error([] { metadata_line({.picture = "a.png", .text = "\xff"}); }, {"not UTF-8", "\\xff"});
  check_error([] { metadata_line({.picture = "a.png", .text = "", .fields = {{"text", "t"}}}); }, {"a field's name is taken"});
}

TEST_CASE("metadata: errors name line, field, the form expected") {
  refused("\n{\"file_name\": \"a\", \"text\": 1}", {"m.jsonl:2: text: wrong value (expected a string, got 1)"});
  refused("{}", {"m.jsonl:1: file_name: is missing (expected a string)"});
  refused("{\"file_name\": \"a\"}", {"m.jsonl:1: text: is missing"});
  refused("[]", {"m.jsonl:1: not an object"});
  refused("{\"file_name\": \"a\", \"text\": \"b\"", {"m.jsonl:1@30: the JSON text ends too early"});
  refused("{\"file_name\": \"a\", \"file_name\": \"b\"}", {"m.jsonl:1@30: the key \"file_name\" is there twice"});
  refused("{\"file_name\": \"a\xff\"}", {"m.jsonl:1@16: not UTF-8"});
  refused(R"({"file_name": "a", "winner_file_name": "b", "text": ""})", {"m.jsonl:1: winner_file_name: stands beside file_name"});
  refused(R"({"file_name": "a", "text": "", "keywords": ["b", 2]})", {"m.jsonl:1: keywords[1]: wrong value (expected a string, got 2)"});
  refused(R"({"file_name": "a", "text": "", "style": 2})", {"m.jsonl:1: style: wrong value (expected a string, got 2)"});
  for (const char* name : {"", "..", "/etc/passwd", "../x", "a/../b", "./a", "a\\\\b", "a\\u0000"}) {
    refused(std::string("{\"text\": \"\", \"file_name\": \"") + name + "\"}", {"m.jsonl:1: file_name: not a plain relative name"});
    refused(std::string("{\"text\": \"\", \"file_name\": \"a\", \"loser_file_name\": \"") + name + "\"}", {"m.jsonl:1: loser_file_name: not a plain relative name"});
  }
  const std::string long_line = "{\"file_name\": \"a\", \"text\": \"" + std::string(16u << 20, 'x') + "\"}";
  refused("\n" + long_line, {"m.jsonl:2: the line is too long (expected at most 16 MiB)"});
}

TEST_CASE("metadata: a hostile file of small samples is refused before memory is gone") {
  std::string text;  // 40 MiB of lines that would become a gigabyte
  for (int i = 0; i < 400'000; ++i) text += "{\"file_name\":\"a\",\"text\":\"\",\"a\":\"\",\"b\":\"\",\"c\":\"\",\"d\":\"\",\"e\":\"\",\"f\":\"\"}\n";
  refused(text, {": the data set is too large (expected samples of 256 MiB in all)"});
}

TEST_CASE("bad samples: the first is thrown, or so many are counted and reported") {
  const char* text = "{\"file_name\": \"a\", \"text\": \"\"}\nnot\n{\"file_name\": \"b\", \"text\": \"\"}\n{}\n";
  refused(text, {"m.jsonl:2@1: not JSON"});
  std::vector<std::string> met;
  BadSamples two(2, [&met](const Error& e) { met.push_back(e.what()); });
  const auto rows = parse_metadata(text, {.path = "m.jsonl"}, two);
  CHECK(two.count() == 2);
  REQUIRE(rows.size() == 2);
  CHECK(rows[1].picture == "b");
  REQUIRE(met.size() == 2);
  CHECK(met[1] == "m.jsonl:4: file_name: is missing (expected a string)");
  BadSamples one(1);
  check_error([&] { parse_metadata(text, {.path = "m.jsonl"}, one); }, {"m.jsonl:4: file_name: is missing", "; 1 bad samples were skipped before, no more may be"});
  BadSamples many(100);
  CHECK_THROWS_AS(many.met(Error({.what = "disk", .kind = ErrorKind::io}, {})), Error);  // no fault of the sample
}

TEST_CASE("data set: pictures of metadata.jsonl, cut and resized as asked") {
  const TempFolder folder;
  fs::create_directory(folder / "sub");
  write_png(folder / "sub/a.png", checks(20, 10));
  write_png(folder / "b.png", checks(5, 5));
  write_file(folder / "torn.png", File(folder / "b.png").text(999).substr(0, 60));
  write_file(folder / "metadata.jsonl", "{\"file_name\": \"sub/a.png\", \"loser_file_name\": \"b.png\", \"text\": \"a\"}\n{\"file_name\": \"none.png\", \"text\": \"\"}\n{\"file_name\": \"torn.png\", \"text\": \"\"}\n{\"file_name\": \"sub\", \"text\": \"\"}\n");
  for (const std::string& path : {folder.path(), folder / "metadata.jsonl"}) {
    const Dataset data = open_dataset(path);
    REQUIRE(data.rows.size() == 4);
    CHECK(read_picture(data, data.rows[0]).rgb == checks(20, 10).rgb);
    CHECK(read_loser(data, data.rows[0]).rgb == checks(5, 5).rgb);
    const Image small = read_picture(data, data.rows[0], {.width = 4, .height = 4});
    CHECK(small.rgb == resize(crop(checks(20, 10), 5, 0, 10, 10), 4, 4, Filter::lanczos).rgb);
    const Image wide = read_loser(data, data.rows[0], {.width = 8, .height = 2, .filter = Filter::bilinear});
    CHECK(wide.rgb == resize(crop(checks(5, 5), 0, 2, 5, 1), 8, 2, Filter::bilinear).rgb);
    check_error([&] { read_picture(data, data.rows[1]); }, {"metadata.jsonl:2: file_name: there is no such picture", "\"none.png\""});
    check_error([&] { read_picture(data, data.rows[2]); }, {"torn.png", "; named in ", "metadata.jsonl:3"});
    check_error([&] { read_picture(data, data.rows[3]); }, {"metadata.jsonl:4: file_name: there is no such picture"});
    check_error([&] { read_loser(data, data.rows[1]); }, {"no preference pair"});
    check_error([&] { read_picture(data, data.rows[0], {.width = 4}); }, {"no such size"});
    check_error([&] { read_picture(data, data.rows[0], {.limits = {.side = 10}}); }, {"sub/a.png", "too large"});
  }
}

TEST_CASE("data set: a caption beside each picture") {
  const TempFolder folder;
  check_error([&] { open_dataset(folder.path()); }, {"no data set is here (expected metadata.jsonl, or pictures and captions"});
  check_error([&] { open_dataset(folder / "none"); }, {"none: cannot be opened: No such file"});
  write_png(folder / "b.PNG", checks(2, 2));
  write_file(folder / "b.txt", "\xef\xbb\xbf a caption\r\nof two lines \n");
  write_png(folder / "a.png", checks(3, 3));
  write_file(folder / "a.txt", "");
  write_file(folder / ".hidden.txt", "");
  const Dataset data = open_dataset(folder.path());
  REQUIRE(data.rows.size() == 2);
  CHECK(data.rows[0].picture == "a.png");
  CHECK(data.rows[0].text == "");
  CHECK(data.rows[1].text == "a caption  of two lines");
  CHECK(read_picture(data, data.rows[1]).rgb == checks(2, 2).rgb);
  check_error([&] { open_dataset(folder / "a.txt"); }, {"a.txt: is no data set"});
  write_file(folder / "c.jpg", "");
  check_error([&] { open_dataset(folder.path()); }, {"c.jpg: has no caption (expected a file c.txt beside it)"});
  write_file(folder / "c.txt", "\xff");
  check_error([&] { open_dataset(folder.path()); }, {"c.txt@0: not UTF-8"});
  fs::remove(folder / "c.jpg");
  check_error([&] { open_dataset(folder.path()); }, {"c.txt: a caption without a picture (expected c.png or .jpg beside it)"});
  write_file(folder / "a.jpg", "");
  check_error([&] { open_dataset(folder.path()); }, {"a.png: two pictures of one name (expected one for the caption a.txt, got a.jpg, too)"});
  BadSamples two(2);
  CHECK(open_dataset(folder.path(), two).rows.size() == 2);
  CHECK(two.count() == 2);
  write_file(folder / "metadata.jsonl", "\n");
  check_error([&] { open_dataset(folder.path()); }, {"metadata.jsonl: no sample"});
}
