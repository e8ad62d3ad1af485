// Files of torch.save: what torch wrote (tests/golden/make_torch.py), and what a hostile hand can write.
#include "sspo/io/torch_file.hpp"

#include <chrono>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "io/folder.hpp"
#include "io/torch_contents.hpp"
#include "sspo/io/model_dir.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::io;
using testing::error_of;
using testing::numbers;
using testing::TempFolder;

namespace {

using Numbers = std::vector<double>;

std::string golden(const std::string& name) { return SSPO_SOURCE_DIR "/tests/golden/torch/" + name; }
std::string content(const std::string& path) { return File(path).text(1 << 20); }

TorchContents parse(const std::string& bytes) {
  return parse_torch({bytes.size(), [&](std::uint64_t at, void* to, std::uint64_t n) {
                        REQUIRE(at <= bytes.size());
                        REQUIRE(n <= bytes.size() - at);
                        std::memcpy(to, bytes.data() + at, n);
                      }}, {.path = "f"});
}

std::string le(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += i < 8 ? char(value >> (8 * i) & 0xff) : char(0);
  return text;
}

// A ZIP archive of stored entries, each field of it open to lies.
struct Zip {
  struct Entry {
    std::string name, data;
    std::uint64_t size = ~0ull, packed = ~0ull, offset = ~0ull;  // lies, unless all ones
    int method = 0, flags = 0;
    std::string local_name = {}, extra = {};
  };
  std::vector<Entry> entries;
  int count = -1;
  std::string str() const {
    std::string bytes, directory;
    for (const Entry& e : entries) {
      const std::uint64_t at = e.offset == ~0ull ? bytes.size() : e.offset, size = e.size == ~0ull ? e.data.size() : e.size, packed = e.packed == ~0ull ? e.data.size() : e.packed;
      const std::string& local = e.local_name.empty() ? e.name : e.local_name;
      const std::string common = le(std::uint64_t(e.flags), 2) + le(std::uint64_t(e.method), 2) + le(0, 8) + le(packed, 4) + le(size, 4);
      bytes += le(0x04034b50, 4) + le(20, 2) + common + le(local.size(), 2) + le(0, 2) + local + e.data;
      directory += le(0x02014b50, 4) + le(20, 2) + le(20, 2) + common + le(e.name.size(), 2) + le(e.extra.size(), 2) + le(0, 10) + le(at, 4) + e.name + e.extra;
    }
    const std::uint64_t n = count < 0 ? entries.size() : std::uint64_t(count);
    return bytes + directory + le(0x06054b50, 4) + le(0, 4) + le(n, 2) + le(n, 2) + le(directory.size(), 4) + le(bytes.size(), 4) + le(0, 2);
  }
};

std::string archive(const std::string& pickle, const std::string& storage = std::string(24, '\0')) { return Zip{{{"a/data.pkl", pickle}, {"a/data/0", storage}}}.str(); }

// Pieces of pickles, protocol 2.
const std::string begin = "\x80\x02";
std::string text(const std::string& s) { return "X" + le(s.size(), 4) + s; }
std::string integer(std::int64_t n) { return "\x8a\x08" + le(std::uint64_t(n), 8); }
std::string global(const std::string& module, const std::string& name) { return "c" + module + "\n" + name + "\n"; }
std::string tuple(const std::string& items) { return "(" + items + "t"; }
std::string storage(std::int64_t count, const std::string& type = "FloatStorage") { return tuple(text("storage") + global("torch", type) + text("0") + text("cpu") + integer(count)) + "Q"; }
std::string tensor(const std::string& store, std::int64_t offset, std::vector<std::int64_t> size, std::vector<std::int64_t> stride) {
  std::string sizes, strides;
  for (const std::int64_t n : size) sizes += integer(n);
  for (const std::int64_t n : stride) strides += integer(n);
  return global("torch._utils", "_rebuild_tensor_v2") + tuple(store + integer(offset) + tuple(sizes) + tuple(strides) + "\x89" + global("collections", "OrderedDict") + ")R") + "R";
}
std::string dict(const std::string& items) { return begin + "}(" + items + "u."; }
std::string six(std::int64_t offset, std::vector<std::int64_t> size, std::vector<std::int64_t> stride) { return dict(text("w") + tensor(storage(6), offset, size, stride)); }

std::string repeated(const std::string& s, int n) {
  std::string all;
  for (int i = 0; i < n; ++i) all += s;
  return all;
}

}  // namespace

TEST_CASE("torch files: what torch saves, in each protocol, views and parameters too") {
  for (const char* name : {"protocol2.pt", "protocol3.pt", "protocol4.pt", "protocol5.pt", "legacy_all.pt"}) {
    INFO(name);
    const TorchFile file(golden(name));
    REQUIRE(file.tensors().size() == 17);
    CHECK(file.skipped() == 10);  // 3, text, None; lr, big, steps_done, two of shape, dtype, name
    const auto load = [&](const char* tensor) {
      const StoredTensor* t = file.find(tensor);
      REQUIRE(t);
      return file.load(*t);
    };
    CHECK(load("f32").shape() == Shape{2, 3});
    CHECK(numbers(load("f32")) == Numbers{0, .5, 1, 1.5, 2, 2.5});
    CHECK(load("f16").dtype() == DType::f16);
    CHECK(numbers(load("f16"))[1] == -65504);
    CHECK(load("bf16").dtype() == DType::bf16);
    CHECK(numbers(load("bf16"))[0] == 3.140625);
    CHECK(load("f64").shape() == Shape{});
    CHECK(load("f64").item<double>() == 0.1);
    CHECK(load("i64").to_vector<std::int64_t>() == std::vector<std::int64_t>{0, 49407, -1});
    CHECK(load("i32").to_vector<std::int32_t>() == std::vector<std::int32_t>{-7});
    CHECK(load("mask").to_vector<bool>() == std::vector<bool>{true, false});
    CHECK(load("bytes").to_vector<std::uint8_t>() == std::vector<std::uint8_t>{1, 2, 3});
    CHECK(file.find("i16")->str() == "[2] I16");
    CHECK(error_of([&] { load("i16"); }).find("i16: unsupported type") != std::string::npos);
    CHECK(load("empty").shape() == Shape{0, 5});
    CHECK(numbers(load("parameter")) == Numbers{1.5});
    CHECK(numbers(load("nested.list.0")) == Numbers{7});
    CHECK(numbers(load("nested.5")) == Numbers{8});
    CHECK(numbers(load("rows")) == Numbers{6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17});
    CHECK(file.find("rows")->begin == file.find("whole")->begin + 24);
    CHECK(load("transposed").shape() == Shape{6, 4});
    CHECK(numbers(load("transposed")) == Numbers{0, 6, 12, 18, 1, 7, 13, 19, 2, 8, 14, 20, 3, 9, 15, 21, 4, 10, 16, 22, 5, 11, 17, 23});
    CHECK(numbers(load("steps")) == Numbers{1, 2, 3, 9, 10, 11, 13, 14, 15, 21, 22, 23});
  }
}

TEST_CASE("torch files: a module's state dict, a checkpoint of Lightning, a packed directory") {
  for (const char* name : {"module.pt", "packed.pt"}) {
    const Weights weights = open_weights(golden(name));
    CHECK(weights.names() == std::vector<std::string>{"0.bias", "0.weight", "1.bias", "1.weight"});
    CHECK(numbers(weights.load("0.bias")) == Numbers{2});
    CHECK(numbers(weights.load("1.weight", DType::bf16)) == Numbers{3});
    CHECK(weights.files()[0].torch());
  }
  const TorchFile file(golden("lightning.ckpt"));
  REQUIRE(file.tensors().size() == 1);
  CHECK(file.tensors()[0].name == "w");
  CHECK(file.skipped() == 6);  // epoch, global_step, and what the optimizer keeps
}

TEST_CASE("torch files: a component's folder may hold a .bin") {
  TempFolder folder;
  std::filesystem::copy_file(golden("module.pt"), folder / "pytorch_model.bin");
  CHECK(numbers(open_weights(folder.path()).load("0.bias")) == Numbers{2});
  save_safetensors(folder / "model.safetensors", {{"0.bias", Tensor::from<float>({9}, {1})}});
  CHECK(numbers(open_weights(folder.path()).load("0.bias")) == Numbers{9});  // is preferred
  std::filesystem::copy_file(golden("module.pt"), folder / "diffusion_pytorch_model.fp16.bin");
  CHECK(numbers(open_weights(folder.path(), {.variant = "fp16"}).load("0.bias")) == Numbers{2});
}

TEST_CASE("torch files: weights under other names") {
  const Weights weights = open_weights(golden("module.pt")).renamed({{"b", "0.weight"}, {"a", "0.bias"}});
  CHECK(weights.names() == std::vector<std::string>{"a", "b"});
  CHECK(numbers(weights.load("a")) == Numbers{2});
  CHECK(numbers(weights.load_as_stored("b")) == Numbers{1, 1});
  CHECK_FALSE(weights.has("0.bias"));
  CHECK(error_of([&] { weights.renamed({{"x", "y"}}); }).find("y: there is no tensor of this name") != std::string::npos);
}

TEST_CASE("torch files: other names of a pickle are refused, and nothing is run") {
  const auto refused = [](const std::string& path) { return error_of([&] { TorchFile{path}; }); };
  CHECK(refused(golden("evil.pt")).find("evil.pt: refused: posix.system at byte ") != std::string::npos);
  CHECK(refused(golden("uint16.pt")).find("refused: torch._utils._rebuild_tensor_v3") != std::string::npos);
  CHECK(refused(golden("expanded.pt")).find("w: a view that repeats elements (expected at most the storage's 1, got [1000] F32)") != std::string::npos);
  CHECK(refused(golden("packed_storage.pt")).find("its storage is compressed") != std::string::npos);
  CHECK(refused(SSPO_SOURCE_DIR "/tests/golden/python.safetensors").find("no file of torch.save") != std::string::npos);

  struct Bad {
    std::string pickle;
    const char* message;
  };
  const std::string os = global("os", "system"), arguments = tuple(text("true"));
  for (const Bad& bad : std::vector<Bad>{
           {begin + os + arguments + "R.", "f: refused: os.system at byte 2 of data.pkl (expected tensors, numbers, texts and their containers)"},
           {begin + "\x8c\x02os\x8c\x06system\x93" + arguments + "R.", "refused: os.system at byte 14"},
           {begin + "(" + text("true") + "ios\nsystem\n.", "refused: a call of os.system at byte 12"},
           {begin + global("builtins", "eval") + ".", "refused: builtins.eval"},
           {begin + global("torch", "load") + ".", "refused: torch.load"},
           {begin + global("os\nsystem", "x"), "refused: os.system"},
           {begin + global("a\x1b[31m", "b"), "refused: a\\x1b[31m.b at byte 2"},
           {begin + "N" + tuple("") + "R.", "refused: a call of what is no function"},
           {begin + global("collections", "OrderedDict") + tuple("N") + "R.", "an OrderedDict with arguments"},
           {begin + "N}b.", "refused: the attributes of what is no dict"},
           {begin + global("collections", "OrderedDict") + tuple("") + "\x81.", "refused: the opcode 0x81"},
           {begin + "I1\n.", "refused: the opcode I"},
           {begin + "Pid\n.", "refused: the opcode P"},
           {"\x80\x06.", "an unknown protocol at byte 0 of data.pkl (expected 2 to 5, got 6)"},
           {begin, "the pickle ends too early"},
           {begin + ".", "the pickle does not end in one value"},
           {begin + "N.N", "bytes behind the end"},
           {begin + "0.", "takes a value that is not there"},
           {begin + "(0.", "takes a value that is not there"},
           {begin + "N(\x85.", "takes values that are not there"},
           {begin + "u.", "a mark that is not there"},
           {begin + "N(NNu.", "not a dict that takes items"},
           {begin + "}(Nu.", "a key without a value"},
           {begin + "h\x01.", "nothing was remembered as 1"},
           {begin + "Nr\xff\xff\xff\xff.", "the memo is too large"},
           {begin + "X\xff\xff\xff\xff.", "the pickle ends too early"},
           {begin + "\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "the pickle ends too early"},
           {begin + text("\xff") + ".", "a text is not UTF-8"},
           {begin + "NQ.", "not a storage's description"},
           {begin + tuple(text("module")) + "Q.", "an unknown kind of reference"},
           {begin + repeated("(", 20'000) + ".", "nested too deeply"},
           {begin + "]q\x01" + repeated("\x85", 40) + ".", "nested too deeply (expected at most 32 levels)"},
           {begin + "]q\x01h\x01" "a.", "nested too deeply"},                                     // holds itself
           {begin + "N" + repeated("q\x01(" + repeated("h\x01", 10) + "l", 10) + ".", ""},         // 10^10 values out of 230 bytes
           {begin + repeated("N", 3'000'000) + ".", "too many values"},
           {dict(tuple("") + "N"), "a key that is no text and no whole number"},
           {dict(text(std::string(600, 'n')) + tensor(storage(6), 0, {6}, {1})), "the name is too long"},
           {dict(text("a") + tensor(storage(6), 0, {6}, {1}) + text("a") + tensor(storage(6), 0, {6}, {1})), "f: a: two tensors of one name"},
       }) {
    INFO(bad.message);
    const auto start = std::chrono::steady_clock::now();
    const std::string error = error_of([&] { parse(archive(bad.pickle)); });
    if (*bad.message) CHECK(error.substr(0, 500).find(bad.message) != std::string::npos);
    CHECK_MESSAGE((error != "(no error)" && error.find('\n') == std::string::npos), error);
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
  }
}

TEST_CASE("torch files: the format before torch 1.6, from Python 3 and 2") {
  const TorchFile written(golden("legacy.pt"));
  REQUIRE(written.tensors().size() == 1);
  CHECK(numbers(written.load(written.tensors()[0])) == Numbers{1});

  // As Python 2 wrote it: byte strings, an OrderedDict of a list of pairs, None behind a storage.
  const auto bytes_text = [](const std::string& s) { return "U" + le(s.size(), 1) + s; };
  const std::string magic = begin + "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", format = begin + "M" + le(1001, 2) + ".";
  const auto facts = [&](const char* little) { return begin + "}" + bytes_text("little_endian") + little + "s."; };
  const std::string store = tuple(bytes_text("storage") + global("torch", "FloatStorage") + bytes_text("77") + bytes_text("cuda:0") + integer(3) + "N") + "Q";
  const std::string state = begin + global("collections", "OrderedDict") + "](](" + bytes_text("w") + tensor(store, 1, {2}, {1}) + "ee\x85R}" + bytes_text("_metadata") + "Nsb.";
  const auto keys = [&](const std::string& list) { return begin + "](" + list + "e."; };
  const std::string data = le(3, 8) + le(0x3f800000, 4) + le(0x40000000, 4) + le(0x40400000, 4);
  const std::string start = magic + format + facts("\x88"), whole = start + state + keys(bytes_text("77")) + data;
  const TorchContents c = parse(whole);
  REQUIRE(c.tensors.size() == 1);
  CHECK(c.tensors[0].name == "w");
  CHECK(c.tensors[0].begin == whole.size() - 8);
  CHECK(c.tensors[0].end == whole.size());

  struct Bad {
    std::string bytes;
    const char* message;
  };
  for (const Bad& bad : std::vector<Bad>{
           {dict(text("w") + "N"), "f: a bare pickle"},
           {"\x80", "a bare pickle"},
           {magic + begin + "M" + le(1002, 2) + ".", "another format of old files (expected 1001, got 1002)"},
           {magic + begin + "N.", "another format of old files"},
           {magic + format + facts("\x89"), "numbers of the other byte order"},
           {magic + format + begin + global("os", "system") + ".", "refused: os.system at byte 2 of the machine's facts"},
           {start + state.substr(0, 40), "the pickle ends too early"},
           {start + state + begin + "N." + data, "no list of storages"},
           {start + state + keys(bytes_text("78")) + data, "storage 78: a storage that no tensor has"},
           {start + state + keys("") + data, "bytes behind the last storage (expected the file's end, got 20)"},
           {start + state + keys(""), "its storage is not in the archive"},
           {start + state + keys(bytes_text("77") + bytes_text("77")) + data + data, "storage 77: a storage twice"},
           {whole + "x", "bytes behind the last storage"},
           {whole.substr(0, whole.size() - 1), "the file ends before it does (expected 3 elements of 4 bytes, got 11 bytes)"},
           {whole.substr(0, whole.size() - 15), "the file ends before it (expected 8 bytes of its length, got 5)"},
           {start + state + keys(bytes_text("77")) + le(~0ull, 8), "the file ends before it does"},
           {start + state + keys(bytes_text("77")) + le(2, 8) + std::string(8, '\0'), "w: its storage is not of the size that is said"},
           {start + begin + global("collections", "OrderedDict") + "](](NNNee\x85R.", "a key without a value"},
           {start + begin + tuple(bytes_text("storage") + global("torch", "FloatStorage") + bytes_text("77") + bytes_text("cpu") + integer(3) + tuple(bytes_text("v"))) + "Q.", "an unknown kind of reference"},
       }) {
    INFO(bad.message);
    const std::string error = error_of([&] { parse(bad.bytes); });
    CHECK_MESSAGE(error.find(bad.message) != std::string::npos, error);
  }
}

TEST_CASE("torch files: tensors stay inside their storages") {
  CHECK(parse(archive(six(0, {2, 3}, {3, 1}))).tensors[0].str() == "[2, 3] F32");
  CHECK(parse(archive(six(1, {5}, {1}))).tensors[0].end - parse(archive(six(1, {5}, {1}))).tensors[0].begin == 20);
  CHECK(parse(archive(six(5, {1, 1}, {1'000'000, 77}))).tensors[0].strides.empty());
  CHECK(parse(archive(six(9, {0, 4}, {1, 1}))).tensors[0].begin == parse(archive(six(9, {0, 4}, {1, 1}))).tensors[0].end);  // empty
  struct Bad {
    std::string pickle;
    const char* message;
  };
  const std::int64_t huge = std::int64_t(1) << 62;
  for (const Bad& bad : std::vector<Bad>{
           {six(0, {7}, {1}), "f: w: it leaves its storage (expected 6 elements, got [7] F32 from element 0)"},
           {six(1, {2, 3}, {3, 1}), "it leaves its storage"},
           {six(0, {2}, {6}), "it leaves its storage (expected 6 elements, got [2] F32 from element 0, with strides)"},
           {six(0, {2}, {huge}), "it leaves its storage"},
           {six(0, {5, 5}, {huge, huge}), "it leaves its storage"},
           {six(huge, {1}, {1}), "it leaves its storage"},
           {six(0, {huge, huge}, {0, 0}), "it leaves its storage"},
           {six(0, {huge, huge, 0}, {0, 0, 1}), "too many elements"},
           {six(0, {1000}, {0}), "a view that repeats elements"},
           {six(-1, {1}, {1}), "wrong offset"},
           {six(0, {-1}, {1}), "wrong size"},
           {six(0, {2}, {-1}), "wrong stride"},
           {six(0, {2}, {}), "as many strides as axes"},
           {six(0, std::vector<std::int64_t>(65, 1), std::vector<std::int64_t>(65, 1)), "too many axes"},
           {dict(text("w") + tensor(storage(7), 0, {1}, {1})), "not of the size that is said (expected 7 elements of 4 bytes, got 24 bytes)"},
           {dict(text("w") + tensor(storage(huge), 0, {1}, {1})), "not of the size that is said"},
           {dict(text("w") + tensor(storage(6, "DoubleStorage"), 0, {1}, {1})), "not of the size that is said"},
           {dict(text("w") + tensor("N", 0, {1}, {1})), "not the arguments of a tensor"},
           {dict(text("w") + global("torch._utils", "_rebuild_parameter") + tuple("N") + "R"), "not the arguments of a parameter"},
       }) {
    INFO(bad.message);
    CHECK(error_of([&] { parse(archive(bad.pickle)); }).find(bad.message) != std::string::npos);
  }
  CHECK(error_of([&] { parse(Zip{{{"a/data.pkl", six(0, {1}, {1})}}}.str()); }).find("its storage is not in the archive (got data/0)") != std::string::npos);
}

TEST_CASE("torch files: archives that lie") {
  const std::string pickle = six(0, {6}, {1}), data(24, '\0');
  CHECK(parse(archive(pickle)).tensors.size() == 1);
  const auto error = [](const std::string& bytes) { return error_of([&] { parse(bytes); }); };
  struct Bad {
    Zip zip;
    const char* message;
  };
  const Zip::Entry good{"a/data.pkl", pickle};
  for (const Bad& bad : std::vector<Bad>{
           {{{good, {"a/data/0", data, 25, 24}}}, "a stored entry of two sizes (expected 24, got 25)"},
           {{{good, {"a/data/0", data, 1'000'000, 1'000'000}}}, "the entry leaves the file"},
           {{{good, {"a/data/0", data, ~0ull, ~0ull, 1 << 30}}}, "an entry leaves the file"},
           {{{good, {"a/data/0", data, ~0ull, ~0ull, 0}}}, "the entry's own header is not the directory's"},
           {{{good, good}}, "two entries of one name"},
           {{{good, {"a/x", data}, {"a/x", data, ~0ull, ~0ull, 30 + 10 + pickle.size()}}}, "an entry overlaps the one before it"},
           {{{good, {"a/data/0", data, ~0ull, ~0ull, ~0ull, 0, 0, "a/data/1"}}}, "the entry's own header is not the directory's"},
           {{{good, {"../data/0", data}}}, "not a plain relative name"},
           {{{good, {"/etc/x", data}}}, "not a plain relative name"},
           {{{good, {"a/data/0", data, ~0ull, ~0ull, ~0ull, 12}}}, "an unsupported way of packing (expected stored or deflated, got 12"},
           {{{good, {"a/data/0", data, ~0ull, ~0ull, ~0ull, 0, 1}}}, "an encrypted entry"},
           {{{good, {"a/data/0", data, 0xffffffff, 24}}}, "a zip64 field is missing"},
           {{{good, {"a/data/0", data, 0xffffffff, 24, ~0ull, 0, 0, "", le(1, 2) + le(8, 2) + le(~0ull, 8)}}}, "a stored entry of two sizes"},
           {{{good, {"a/data/0", data, ~0ull, ~0ull, ~0ull, 0, 0, "", le(1, 2) + le(9, 2)}}}, "an extra field leaves its record"},
           {{{good}, 7}, "too many entries for the directory"},
           {{{{"a/data.pkl", pickle, 1 << 20, ~0ull, ~0ull, 8}}}, "the packed entry a/data.pkl is damaged"},
           {{{{"a/data.pkl", pickle, 1u << 31, ~0ull, ~0ull, 8}}}, "the entry a/data.pkl is too large (expected at most 33554432 bytes"},
           {{{good, {"b/data.pkl", pickle}}}, "two files data.pkl"},
           {{{{"a/data/0", data}}}, "no data.pkl in the archive"},
           {{{good, {"a/constants.pkl", pickle}}}, "a TorchScript program"},
           {{{good, {"a/byteorder", "big"}}}, "numbers of the other byte order (expected little, got big)"},
       }) {
    INFO(bad.message);
    CHECK_MESSAGE(error(bad.zip.str()).find(bad.message) != std::string::npos, error(bad.zip.str()));
  }
  Zip wide{{good, {"a/data/0", data, 0xffffffff, 0xffffffff, ~0ull, 0, 0, "", le(1, 2) + le(16, 2) + le(24, 8) + le(24, 8)}}};
  CHECK(parse(wide.str()).tensors.size() == 1);  // zip64 sizes
  CHECK(error("").find("no file of torch.save (expected a ZIP archive, got an empty file)") != std::string::npos);

  // Each file of torch cut anywhere, and with any byte changed, is read or refused in one line.
  for (const char* name : {"protocol2.pt", "protocol4.pt", "packed.pt"}) {
    const std::string whole = content(golden(name));
    for (std::size_t size = 0; size < whole.size(); size += 7) CHECK(error(whole.substr(0, size)) != "(no error)");
    for (std::size_t at = 0; at < whole.size(); ++at) {
      std::string changed = whole;
      changed[at] = char(changed[at] ^ (1 << at % 8));
      CHECK(error(changed).find('\n') == std::string::npos);
    }
  }
}
