#include "io/json.hpp"

#include "io/folder.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::io;
using testing::check_error;

namespace {
Json parse(std::string_view text) { return parse_json(text, {.path = "f.json"}); }
void refused(std::string_view text, std::initializer_list<const char*> parts) { check_error([&] { parse(text); }, parts); }
}  // namespace

TEST_CASE("json: values, in the file's order") {
  const Json j = parse(R"({"b": 1, "a": [true, null, -2.5e3, "\u00e9\ud83c\udfa8"], "": {}})");
  CHECK(j.begin().key() == "b");
  CHECK(j["a"][2] == -2500);
  CHECK(j["a"][3] == "\xc3\xa9\xf0\x9f\x8e\xa8");
  CHECK(parse("\xef\xbb\xbf[]").is_array());
  CHECK(parse(" 7 ") == 7);
  CHECK(parse("{\"a\": {\"x\": 1}, \"b\": {\"x\": 1}}").size() == 2);  // the same key in two objects
}

TEST_CASE("json: syntax errors name the byte and nothing of the library") {
  refused("", {"f.json@0: the JSON text ends too early"});
  refused("{\"a\": 1", {"f.json@7: the JSON text ends too early"});
  refused("{\"a\": 1,}", {"f.json@8: not JSON (got \""});
  refused("{\"a\" 1}", {"f.json@5: not JSON"});
  refused("[1] x", {"f.json@4: not JSON"});
  refused("[01]", {"not JSON"});
  refused("[NaN]", {"not JSON"});
  refused("[1e999]", {"not JSON"});
  refused("[\"\\ud800\"]", {"not JSON"});
  refused("[\"\n\"]", {"not JSON"});
  refused("// no comments\n{}", {"f.json@0: not JSON"});
  refused(std::string_view("{}\0", 3), {"f.json@2: a NUL byte"});
  refused("[\"\xff\"]", {"f.json@2: not UTF-8"});
  for (const char* text : {"", "{", "[1,]", "[\"\\q\"]", "[1e999]"})
    CHECK(testing::error_of([&] { parse(text); }).find("json.exception") == std::string::npos);
}

TEST_CASE("json: a key twice, deep nesting, too many values") {
  refused(R"({"a": 1, "b": 2, "a": 3})", {"f.json@20: the key \"a\" is there twice in one object"});
  refused(R"({"x": [{"a": 1, "\u0061": 3}]})", {"the key \"a\" is there twice"});
  const auto nested = [](int depth) { return std::string(std::size_t(depth), '[') + std::string(std::size_t(depth), ']'); };
  CHECK(parse(nested(128)).is_array());
  refused(nested(129), {"f.json@129: nested too deeply (expected at most 128 levels)"});
  refused(std::string(1 << 20, '['), {"nested too deeply"});
  CHECK(parse("[0." + std::string(998, '1') + "]")[0] > 0);
  refused("[0." + std::string(999, '1') + "]", {"f.json@1: a number is too long (expected at most 1000 digits)"});
  CHECK(parse("[\"" + std::string(2000, '1') + "\", \"\\\\\", \"\\\"" + std::string(2000, '1') + "\"]").size() == 3);
  std::string many = "[";
  for (int i = 0; i < 2'000'001; ++i) many += "0,";
  refused(many, {"too many values"});
}

TEST_CASE("json: an object of 200,000 keys takes no quadratic time") {
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) text += (i ? ",\"" : "\"") + std::to_string(i) + "\":0";
  CHECK(parse(text + "}").size() == 200'000);
  refused(text + ",\"77\":0}", {"the key \"77\" is there twice"});
}

TEST_CASE("fields: types, ranges, defaults, names") {
  const Json j = parse(R"({"i": 5, "x": 0.5, "t": "abc", "b": true, "n": null, "is": [1, 2], "xs": [1, 2.5], "ts": ["a"],
                           "big": 18446744073709551615, "f": 5.0, "mixed": [1, "2"]})");
  Fields f(j, {.path = "c.json", .field = "unet"});
  CHECK(f.integer("i", 1, 5) == 5);
  CHECK(f.number("x", 0, 1) == 0.5);
  CHECK(f.number("i", 0, 10) == 5);
  CHECK(f.text("t") == "abc");
  CHECK(f.choice("t", {"xyz", "abc"}) == "abc");
  CHECK(f.boolean("b"));
  CHECK(f.integers("is", 0, 9) == std::vector<Index>{1, 2});
  CHECK(f.numbers("xs", 0, 9) == std::vector<double>{1, 2.5});
  CHECK(f.texts("ts") == std::vector<std::string>{"a"});
  CHECK(f.integer("n", 0, 9, 3) == 3);
  CHECK(f.integers("none", 0, 9, {{7}}) == std::vector<Index>{7});
  CHECK(f.has("i"));
  CHECK_FALSE(f.has("n"));
  CHECK(f.raw("none") == nullptr);
  CHECK(f.unread() == std::vector<std::string>{"big", "f", "mixed"});

  check_error([&] { f.integer("n", 0, 9); }, {"c.json: unet.n: is missing (expected a whole number from 0 to 9)"});
  check_error([&] { f.integer("i", 6, 9); }, {"c.json: unet.i: wrong value (expected a whole number from 6 to 9, got 5)"});
  check_error([&] { f.integer("f", 0, 9); }, {"got 5"});
  check_error([&] { f.integer("big", 0, 9); }, {"got 18446744073709551615"});
  check_error([&] { f.number("x", 1, 2); }, {"a number from 1 to 2, got 0.5"});
  check_error([&] { f.text("i"); }, {"unet.i: wrong value (expected a string, got 5)"});
  check_error([&] { f.boolean("t"); }, {"true or false", "got \"abc\""});
  check_error([&] { f.choice("t", {"p", "q"}); }, {"one of p, q", "\"abc\""});
  check_error([&] { f.integers("mixed", 0, 9); }, {"unet.mixed[1]: wrong value", "got \"2\""});
  check_error([&] { f.integers("i", 0, 9); }, {"unet.i: not an array"});
  check_error([&] { f.texts("is"); }, {"unet.is[0]"});
  check_error([] { Fields(parse("[1]"), {.path = "c.json"}); }, {"c.json: not an object", "an array of 1"});
}

TEST_CASE("json: files, their limit") {
  const testing::TempFolder folder;
  write_file(folder / "a.json", "{\"a\": 1}");
  CHECK(read_json(folder / "a.json")["a"] == 1);
  check_error([&] { read_json(folder / "a.json", 7); }, {"a.json: the file is too large"});
}
