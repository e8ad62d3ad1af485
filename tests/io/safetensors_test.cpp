#include "sspo/io/safetensors.hpp"

#include "io/folder.hpp"
#include "sspo/ops/create.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::io;
using testing::error_of;
using testing::TempFolder;

namespace {

std::string framed(const std::string& header, const std::string& data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += char(header.size() >> (8 * i) & 0xff);
  return bytes + header + data;
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "{\"dtype\":\"" + dtype + "\",\"shape\":[" + shape + "],\"data_offsets\":[" + offsets + "]}";
}

SafetensorsHeader parse(const std::string& header, std::size_t data) {
  return parse_safetensors(header, 8 + header.size() + data, {.path = "f"});
}

struct BadHeader {
  std::string header;
  std::size_t data;
  const char* message;
};

const std::string one = entry("F32", "1", "0,4");
std::string nested(int depth) { return std::string(std::size_t(depth), '[') + std::string(std::size_t(depth), ']'); }
std::string with_unknown(const std::string& value) {
  return "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":" + value + "}}";
}

const std::vector<BadHeader>& bad_headers() {
  static const std::vector<BadHeader> cases = {
      // not the JSON of an object
      {"", 0, "f@8: the header is no JSON object (expected {, got nothing)"},
      {" {\"a\":" + one + "}", 4, "f@8: the header is no JSON object"},
      {"[]", 0, "f@8: the header is no JSON object"},
      {"\xef\xbb\xbf{\"a\":" + one + "}", 4, "f@8: the header is no JSON object"},
      {"\"{}\"", 0, "f@8: the header is no JSON object"},
      {"{", 0, "f@9: the JSON text ends too early"},
      {"{\"a\":" + one, 4, "the JSON text ends too early"},
      {"{\"a\":" + one + ",}", 4, "not JSON"},
      {"{\"a\":" + one + "}}", 4, "not JSON"},
      {"{\"a\":" + one + "}{}", 4, "not JSON"},
      {"{'a':" + one + "}", 4, "not JSON"},
      {"{a:" + one + "}", 4, "not JSON"},
      {"{\"a\" " + one + "}", 4, "not JSON"},
      {"{\"a\":" + one + "}//", 4, "not JSON"},
      {"{\"a\":" + one + "}" + std::string(1, '\0'), 4, "a NUL byte"},
      {"{\"a" + std::string(1, '\0') + "\":" + one + "}", 4, "f@11: a NUL byte"},
      {"{\"\xff\":" + one + "}", 4, "f@10: not UTF-8"},
      {"{\"\xc0\x80\":" + one + "}", 4, "f@10: not UTF-8"},
      {"{\"\xed\xa0\x80\":" + one + "}", 4, "not UTF-8"},
      {"{\"\xe2\x82\":" + one + "}", 4, "not UTF-8"},
      {"{\"\\ud800\":" + one + "}", 4, "not JSON"},
      {"{\"a\nb\":" + one + "}", 4, "not JSON"},
      // values of the wrong kind
      {"{\"a\":null}", 0, "a: wrong value (expected an object with dtype, shape, data_offsets, got null)"},
      {"{\"a\":7}", 0, "a: wrong value"},
      {"{\"a\":\"F32\"}", 0, "got \"F32\""},
      {"{\"a\":[\"F32\",[1],[0,4]]}", 4, "a: wrong value"},
      {"{\"a\":{}}", 0, "a.dtype: is missing"},
      {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "a.shape: is missing"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "a.data_offsets: is missing"},
      {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "a.dtype: is missing"},
      {"{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "a.dtype: wrong value (expected the name of a type, got 1)"},
      {"{\"a\":{\"dtype\":null,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "a.dtype: wrong value"},
      {"{\"a\":{\"dtype\":[],\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "a.dtype: wrong value"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, "a.shape: wrong value (expected an array of whole numbers"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":null,\"data_offsets\":[0,4]}}", 4, "a.shape: wrong value"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":{},\"data_offsets\":[0,4]}}", 4, "a.shape: wrong value"},
      {"{\"a\":" + entry("F32", "-1", "0,4") + "}", 4, "a.shape: wrong value (expected a whole number from 0 to 2^64 - 1, got -1)"},
      {"{\"a\":" + entry("F32", "1.0", "0,4") + "}", 4, "a.shape: wrong value"},
      {"{\"a\":" + entry("F32", "1e0", "0,4") + "}", 4, "a.shape: wrong value"},
      {"{\"a\":" + entry("F32", "\"1\"", "0,4") + "}", 4, "a.shape: wrong value"},
      {"{\"a\":" + entry("F32", "true", "0,4") + "}", 4, "a.shape: wrong value"},
      {"{\"a\":" + entry("F32", "[1]", "0,4") + "}", 4, "a.shape: wrong value"},
      {"{\"a\":" + entry("F32", "18446744073709551616", "0,4") + "}", 4, "a.shape: wrong value"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":4}}", 4, "a.data_offsets: wrong value"},
      {"{\"a\":" + entry("F32", "1", "") + "}", 4, "a.data_offsets: fewer than two offsets"},
      {"{\"a\":" + entry("F32", "1", "0") + "}", 4, "a.data_offsets: fewer than two offsets"},
      {"{\"a\":" + entry("F32", "1", "0,4,4") + "}", 4, "a.data_offsets: more than two offsets"},
      {"{\"a\":" + entry("F32", "1", "-0,4") + "}", 4, "a.data_offsets: wrong value"},
      {"{\"a\":" + entry("F32", "1", "0,4.0") + "}", 4, "a.data_offsets: wrong value"},
      // types
      {"{\"a\":" + entry("f32", "1", "0,4") + "}", 4, "a.dtype: unsupported type"},
      {"{\"a\":" + entry("F128", "1", "0,16") + "}", 16, "a.dtype: unsupported type"},
      {"{\"a\":" + entry("", "1", "0,4") + "}", 4, "a.dtype: unsupported type"},
      {"{\"a\":" + entry("F32 ", "1", "0,4") + "}", 4, "a.dtype: unsupported type"},
      // the same key twice, at each level
      {"{\"a\":" + one + ",\"a\":" + one + "}", 4, "the key \"a\" is there twice"},
      {"{\"a\":" + one + ",\"\\u0061\":" + entry("F32", "1", "4,8") + "}", 8, "the key \"a\" is there twice"},
      {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "a: the key \"dtype\" is there twice"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "a: the key \"shape\" is there twice"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"data_offsets\":[0,4]}}", 4, "the key \"data_offsets\" is there twice"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1,\"x\":2}}", 4, "the key \"x\" is there twice"},
      {with_unknown("{\"p\":1,\"q\":2,\"p\":3}"), 4, "the key \"p\" is there twice"},
      {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "the key \"__metadata__\" is there twice"},
      {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"1\"}}", 0, "__metadata__: the key \"a\" is there twice"},
      // metadata
      {"{\"__metadata__\":null}", 0, "__metadata__: wrong value (expected an object of strings, got null)"},
      {"{\"__metadata__\":\"x\"}", 0, "__metadata__: wrong value"},
      {"{\"__metadata__\":[]}", 0, "__metadata__: wrong value"},
      {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__.a: wrong value (expected a string, got 1)"},
      {"{\"__metadata__\":{\"a\":null}}", 0, "__metadata__.a: wrong value"},
      {"{\"__metadata__\":{\"a\":{}}}", 0, "__metadata__.a: wrong value"},
      {"{\"__metadata__\":{\"a\":[\"b\"]}}", 0, "__metadata__.a: wrong value"},
      // depth
      {with_unknown(nested(127)), 4, "nested too deeply (expected at most 128 levels)"},
      {with_unknown(std::string(1 << 20, '[')), 4, "nested too deeply"},
      // sizes
      {"{\"a\":" + entry("F32", "2", "0,4") + "}", 4, "a.data_offsets: the range does not fit the shape (expected 8 bytes for [2] F32, got 4)"},
      {"{\"a\":" + entry("F32", "1", "0,8") + "}", 8, "does not fit the shape"},
      {"{\"a\":" + entry("F32", "0", "0,4") + "}", 4, "does not fit the shape"},
      {"{\"a\":" + entry("F32", "", "0,0") + "}", 0, "does not fit the shape"},
      {"{\"a\":" + entry("F32", "1", "4,0") + "}", 4, "the range ends before it begins"},
      {"{\"a\":" + entry("F32", "1", "0,4") + "}", 3, "a.data_offsets: the range leaves the file (expected at most 3 bytes of data, got [0, 4))"},
      {"{\"a\":" + entry("U8", "18446744073709551615", "0,18446744073709551615") + "}", 4, "too many elements"},
      {"{\"a\":" + entry("U8", "1", "18446744073709551615,18446744073709551615") + "}", 4, "leaves the file"},
      {"{\"a\":" + entry("F32", "4611686018427387904,4", "0,0") + "}", 0, "a.shape: too many elements"},
      {"{\"a\":" + entry("F32", "4294967296,4294967296", "0,0") + "}", 0, "a.shape: too many elements"},
      {"{\"a\":" + entry("F64", "2305843009213693952", "0,0") + "}", 0, "a.shape: too many elements"},  // the product fits, its bytes do not
      {"{\"a\":" + entry("F4", "3", "0,1") + "}", 1, "do not fill whole bytes"},
      // ranges together
      {"{\"a\":" + one + ",\"b\":" + entry("F32", "1", "8,12") + "}", 12, "b: a hole before the tensor"},
      {"{\"b\":" + entry("F32", "1", "4,8") + "}", 8, "b: a hole before the tensor"},
      {"{\"a\":" + one + ",\"b\":" + entry("F32", "1", "2,6") + "}", 6, "b: overlaps the tensor before it"},
      {"{\"a\":" + one + ",\"b\":" + one + "}", 4, "b: overlaps the tensor before it"},
      {"{\"a\":" + entry("F32", "2", "0,8") + ",\"b\":" + entry("F32", "0", "4,4") + "}", 8, "b: overlaps the tensor before it"},
      {"{\"a\":" + one + "}", 5, "bytes that belong to no tensor (expected the file to end here, got 1 more)"},
      {"{}", 1, "bytes that belong to no tensor"},
  };
  return cases;
}

}  // namespace

TEST_CASE("a header of more tensors than any model has is refused early") {
  std::string header = "{";
  for (int i = 0; i <= 250000; ++i) header += (i ? ",\"" : "\"") + std::to_string(i) + "\":" + entry("U8", "0", "0,0");
  CHECK(error_of([&] { parse(header + "}", 0); }).find("250000: too many tensors (expected at most 250000)") != std::string::npos);
}

TEST_CASE("safetensors: every malformed header is refused, in one line that says why") {
  CHECK(bad_headers().size() >= 60);
  for (const BadHeader& bad : bad_headers()) {
    const std::string text = error_of([&] { parse(bad.header, bad.data); });
    INFO(printable(bad.header.substr(0, 200)) << "\n" << text);
    CHECK(text.find(bad.message) != std::string::npos);
    CHECK(text.rfind("f", 0) == 0);
    CHECK(text.find('\n') == std::string::npos);
    CHECK(text.find("exception") == std::string::npos);
    CHECK(text.size() < 1000);
  }
}

TEST_CASE("safetensors: the length before the header") {
  const Place place{.path = "f"};
  const auto bytes = [](std::uint64_t n) {
    std::string s;
    for (int i = 0; i < 8; ++i) s += char(n >> (8 * i) & 0xff);
    return s;
  };
  CHECK(safetensors_header_size(bytes(100'000'000), 200'000'000, place) == 100'000'000);
  CHECK(safetensors_header_size(bytes(2), 10, place) == 2);
  testing::check_error([&] { safetensors_header_size("1234567", 7, place); }, {"f: the file is too short"});
  testing::check_error([&] { safetensors_header_size("", 0, place); }, {"f: the file is too short"});
  testing::check_error([&] { safetensors_header_size(bytes(100'000'001), 200'000'000, place); }, {"f@0: the header is too large", "100000000"});
  testing::check_error([&] { safetensors_header_size(bytes(~0ull), 100, place); }, {"the header is too large"});
  testing::check_error([&] { safetensors_header_size(bytes(3), 10, place); }, {"the header leaves the file (expected at most 2 bytes, got 3)"});
}

TEST_CASE("safetensors: what is valid") {
  CHECK(parse("{}", 0).tensors.empty());
  CHECK(parse("{}   \n", 0).tensors.empty());
  CHECK(parse("{\"__metadata__\":{}}", 0).metadata.empty());
  CHECK(parse("{\"__metadata__\":{\"a\":\"\\u00e9\",\"\":\"\"}}", 0).metadata.at("a") == "\xc3\xa9");
  const auto h = parse("{\"late\":" + entry("F32", "1", "4,8") + ",\"scalar\":" + entry("F32", "", "0,4") + ",\"none\":" + entry("F64", "0,3", "4,4") +
                       ",\"\":" + entry("F8_E4M3", "2", "8,10") + ",\"x.4\":" + entry("F4", "2", "10,11") + ",\"z\":" +
                       entry("BF16", "0,9223372036854775807", "0,0") + "}", 11);
  REQUIRE(h.tensors.size() == 6);
  CHECK(h.tensors[0].name == "z");
  CHECK(h.tensors[1].name == "scalar");
  CHECK(h.tensors[2].name == "none");
  CHECK(h.find("late")->end - h.find("late")->begin == 4);
  CHECK(h.find("")->type->name == "F8_E4M3");
  CHECK(h.find("none")->str() == "[0, 3] F64");
  CHECK(h.find("nobody") == nullptr);
  CHECK(parse(with_unknown(nested(126)), 4).tensors.size() == 1);  // fields the format does not know are passed over
  CHECK(parse(with_unknown("{\"p\":{\"p\":null},\"q\":[1.5,-1,true,\"s\"]}"), 4).tensors.size() == 1);
  CHECK(parse("{\"a\":" + entry("U8", "1,1,1,1,1,1,1,1,1,1", "0,1") + "}", 1).tensors[0].shape.size() == 10);
}

TEST_CASE("safetensors: what is written is read, bit for bit, of every type") {
  const std::string path = "sspo.safetensors";  // stays in the build folder: safetensors_python.py reads it
  const std::vector<NamedTensor> tensors = {
      {"f32", Tensor::from<float>({1, -2.5f, 3e38f, NAN, -0.0f, 1e-40f}, {2, 3})},
      {"f64", Tensor::from<double>({1e300, -0.1}, {2})},
      {"bf16", Tensor::from<bf16>({bf16{1.5f}, bf16{-3}, bf16{7}}, {3, 1})},
      {"f16", Tensor::from<f16>({f16{0.1f}}, {1})},
      {"i64", Tensor::from<std::int64_t>({-1, INT64_MAX}, {2})},
      {"i32", Tensor::from<std::int32_t>({INT32_MIN}, {})},
      {"u8", Tensor::from<std::uint8_t>({0, 255, 7}, {1, 1, 1, 1, 1, 3})},
      {"bool", Tensor::from<bool>(std::vector<bool>{true, false, true}, {3})},
      {"empty", Tensor::empty({4, 0, 2})},
      {"quote\" \\ \xc3\xa9\n", Tensor::from<float>({1}, {1})},
  };
  save_safetensors(path, tensors, {{"format", "pt"}, {"a\"b", "c\nd"}});
  const Safetensors file(path);
  CHECK(file.metadata() == Metadata{{"format", "pt"}, {"a\"b", "c\nd"}});
  REQUIRE(file.tensors().size() == tensors.size());
  for (const NamedTensor& t : tensors) CHECK(testing::same_bits(file.load(t.name), t.tensor));
  CHECK(file.tensors()[0].begin % 8 == 0);
  std::vector<std::string> names;
  for (const StoredTensor& t : file.tensors()) names.push_back(t.name);
  CHECK(names == std::vector<std::string>{"f64", "i64", "empty", "f32", "i32", "quote\" \\ \xc3\xa9\n", "bf16", "f16", "bool", "u8"});
  const std::string bytes = File(path).text(1 << 20);
  save_safetensors(path, {tensors.rbegin(), tensors.rend()}, file.metadata());
  CHECK(File(path).text(1 << 20) == bytes);  // the order of the arguments leaves no trace
}

TEST_CASE("safetensors: views are written as their elements in row-major order") {
  const TempFolder folder;
  const Tensor x = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  const Tensor b = Tensor::from<bool>(std::vector<bool>{true, true, false, false}, {2, 2});
  save_safetensors(folder / "v", {{"t", permute(x, {1, 0})}, {"s", slice(x, 1, 1, 2)}, {"b", permute(b, {1, 0})}, {"e", expand(Tensor::from<float>({7}, {1}), {3})}});
  const Safetensors file(folder / "v");
  CHECK(file.load("t").to_vector<float>() == std::vector<float>{1, 4, 2, 5, 3, 6});
  CHECK(file.load("b").to_vector<bool>() == std::vector<bool>{true, false, true, false});
  CHECK(file.load("e").to_vector<float>() == std::vector<float>{7, 7, 7});
  CHECK(testing::same_bits(file.load("s"), slice(x, 1, 1, 2)));
  const Device other = Device::cpu({.threads = 1});
  CHECK(file.load("t", other).device() == other);
  CHECK(testing::same_bits(file.load("t", other), file.load("t")));
}

TEST_CASE("safetensors: files that cannot be loaded") {
  const TempFolder folder;
  const auto write = [&](const std::string& bytes) { write_file(folder / "f", bytes); return folder / "f"; };
  const auto load = [&](const std::string& dtype, const std::string& shape, std::size_t data) {
    return error_of([&] { Safetensors(write(framed("{\"a\":" + entry(dtype, shape, "0," + std::to_string(data)) + "}", std::string(data, '\2')))).load("a"); });
  };
  CHECK(load("F8_E4M3", "2", 2).find("/f: a: unsupported type (expected F64, F32, F16, BF16, I64, I32, U8 or BOOL, got [2] F8_E4M3)") != std::string::npos);
  CHECK(load("U16", "2", 4).find("unsupported type") != std::string::npos);
  CHECK(load("U8", "1,1,1,1,1,1,2", 2).find("too many axes to load (expected at most 6, got [1, 1, 1, 1, 1, 1, 2] U8)") != std::string::npos);
  CHECK(load("U8", "0,4611686018427387904,4", 0).find("too large to load") != std::string::npos);
  CHECK(load("BOOL", "2", 2).find("a: not a BOOL (expected 0 or 1, got 2)") != std::string::npos);
  CHECK(load("U8", "2", 2) == "(no error)");
  CHECK(load("U8", "0,3", 0) == "(no error)");
  testing::check_error([&] { Safetensors(folder / "f").load("b"); }, {"/f: b: there is no tensor of this name"});
  testing::check_error([&] { Safetensors(write("")); }, {"/f: the file is too short"});
  testing::check_error([&] { Safetensors(write("{\"a\":1}")); }, {"/f: the file is too short"});
  testing::check_error([&] { Safetensors(write("PK\3\4 a pickle in a zip")); }, {"the header is too large", "is it a safetensors file?"});
  // Data that do not begin on a multiple of their size.
  const float value = 1.25f;
  const std::string header = "{\"a\":" + entry("U8", "1", "0,1") + ",\"b\":" + entry("F32", "1", "1,5") + "}";
  CHECK(Safetensors(write(framed(header, "x" + std::string(reinterpret_cast<const char*>(&value), 4)))).load("b").item<float>() == value);
  // A file that shrinks after it was opened.
  const Safetensors shrinking(write(framed(header, "12345")));
  std::filesystem::resize_file(folder / "f", 20);
  testing::check_error([&] { shrinking.load("b"); }, {"the file became shorter while it was read"});
}

TEST_CASE("safetensors: what is not written") {
  const TempFolder folder;
  const Tensor x = zeros({1});
  testing::check_error([&] { save_safetensors(folder / "f", {{"a", x}, {"a", x}}); }, {"two tensors of one name", "\"a\""});
  testing::check_error([&] { save_safetensors(folder / "f", {{"__metadata__", x}}); }, {"a name the format keeps for itself"});
  testing::check_error([&] { save_safetensors(folder / "f", {{"\xff", x}}); }, {"not UTF-8", "\\xff"});
  testing::check_error([&] { save_safetensors(folder / "f", {{"a", Tensor{}}}); }, {"no tensor under this name"});
  CHECK_FALSE(std::filesystem::exists(folder / "f"));
  CHECK_FALSE(std::filesystem::exists(folder / "f.tmp"));
  save_safetensors(folder / "f", {});
  CHECK(Safetensors(folder / "f").tensors().empty());
}

TEST_CASE("safetensors: a file of the Python package") {
  const std::string golden = std::string(SSPO_SOURCE_DIR) + "/tests/golden/python.safetensors";
  const Safetensors file(golden);
  CHECK(file.metadata().at("format") == "pt");
  CHECK(testing::same_bits(file.load("w.f32"), Tensor::from<float>({0, 0.5f, 1, 1.5f, 2, 2.5f}, {2, 3})));
  CHECK(testing::same_bits(file.load("w.f16"), Tensor::from<f16>({f16{0.1f}, f16{-65504.0f}, f16{6e-8f}}, {3})));
  CHECK(testing::same_bits(file.load("w.bf16"), Tensor::from<bf16>({bf16{3.14159f}, bf16{-1e38f}}, {1, 2})));
  CHECK(testing::same_bits(file.load("w.f64"), Tensor::from<double>({0.1}, {})));
  CHECK(testing::same_bits(file.load("ids.i64"), Tensor::from<std::int64_t>({0, 49407, -1}, {3})));
  CHECK(testing::same_bits(file.load("ids.i32"), Tensor::from<std::int32_t>({-7}, {1})));
  CHECK(testing::same_bits(file.load("mask"), Tensor::from<bool>(std::vector<bool>{true, false}, {2})));
  CHECK(testing::same_bits(file.load("bytes"), Tensor::from<std::uint8_t>({1, 2, 3}, {3})));
  CHECK(file.find("empty")->str() == "[0, 5] F32");
  CHECK(file.find("i16")->str() == "[2] I16");
  CHECK(error_of([&] { file.load("f8"); }).find("f8: unsupported type") != std::string::npos);
}
