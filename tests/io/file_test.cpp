#include "sspo/io/file.hpp"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "io/folder.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::io;
using testing::check_error;
using testing::TempFolder;
namespace fs = std::filesystem;

TEST_CASE("printable: control characters, broken UTF-8 and long texts") {
  CHECK(printable("plain \xc3\xa9 \xf0\x9f\x8e\xa8") == "plain \xc3\xa9 \xf0\x9f\x8e\xa8");
  CHECK(printable(std::string_view("a\0\n\x1b[31m\x7f", 9)) == "a\\x00\\x0a\\x1b[31m\\x7f");
  CHECK(printable("\xc2\x85 \xe2\x80\xa8 \xe2\x80\xae") == "\\xc2\\x85 \\xe2\\x80\\xa8 \\xe2\\x80\\xae");  // C1, line separator, bidi
  CHECK(printable("\xc0\xaf") == "\\xc0\\xaf");                // overlong
  CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");       // a surrogate
  CHECK(printable("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");  // above U+10FFFF
  CHECK(printable("\xe2\x82") == "\\xe2\\x82");                // cut short
  CHECK(printable("0123456789", 4) == "01...89");
  CHECK(printable("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 6) == "\xc3\xa9...\xc3\xa9");  // cuts fall between characters
  CHECK(printable(std::string(1 << 20, 'x')).size() == 123);
}

TEST_CASE("bad_file: one line, path, place, field, what, expected, got") {
  check_error([] { bad_file({.path = "a/b.json", .at = "@12", .field = "x"}, "wrong value", "1", "2"); }, {"a/b.json@12: x: wrong value (expected 1, got 2)"});
  check_error([] { bad_file({.path = "a\nb"}, "wh\rat"); }, {"a\\x0ab: wh\\x0dat"});
  CHECK(Place{.path = "p"}.in("a").in("b").field == "a.b");
  try {
    bad_file({.path = "p"}, "w");
  } catch (const Error& e) {
    CHECK(e.info().kind == ErrorKind::file);
    CHECK(std::string(e.what()) == "p: w");
  }
}

TEST_CASE("files: reading what is there, and nothing else") {
  const TempFolder folder;
  const std::string path = folder / "f";
  write_file(path, "0123456789");
  const File file(path);
  CHECK(file.size() == 10);
  CHECK(file.text(10) == "0123456789");
  char piece[4] = {};
  file.read(7, piece, 3);
  CHECK(std::string(piece) == "789");
  file.read(10, piece, 0);
  check_error([&] { file.text(9); }, {"too large", "at most 9 bytes", "10 bytes"});
  check_error([&] { file.read(8, piece, 3); }, {"f@8: the file ends too early"});
  check_error([&] { file.read(~0ull, piece, 2); }, {"ends too early"});
  REQUIRE(truncate(path.c_str(), 5) == 0);
  check_error([&] { file.text(10); }, {"f@5: the file became shorter while it was read (expected 10 bytes)"});
  File moved(File{path});
  CHECK(moved.text(5) == "01234");
}

TEST_CASE("files: only regular ones are opened, and links to them") {
  const TempFolder folder;
  check_error([&] { File(folder / "none"); }, {"none: cannot be opened: No such file"});
  check_error([&] { File{folder.path()}; }, {"is a folder"});
  check_error([&] { File("/dev/zero"); }, {"is no regular file"});
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  check_error([&] { File(folder / "pipe"); }, {"is no regular file"});  // at once: nobody writes to it
  write_file(folder / "target", "x");
  fs::create_symlink("target", folder / "link");
  CHECK(File(folder / "link").text(1) == "x");
}

TEST_CASE("writing: whole or not at all") {
  const TempFolder folder;
  const std::string path = folder / "f";
  const std::string_view pieces[] = {"ab", "", "cd"};
  write_file(path, pieces);
  CHECK(File(path).text(9) == "abcd");
  {
    FileWriter unfinished(path);
    unfinished.write("new");
    CHECK(fs::exists(path + ".tmp"));
  }
  CHECK(File(path).text(9) == "abcd");
  CHECK_FALSE(fs::exists(path + ".tmp"));
  check_error([&] { write_file(folder / "none/f", "x"); }, {"none/f.tmp: cannot be written: No such file"});
  fs::create_directory(folder / "d");
  check_error([&] { write_file(folder / "d", "x"); }, {"/d: is a folder"});
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);  // stands for a device
  check_error([&] { write_file(folder / "pipe", "x"); }, {"is no regular file"});
  CHECK_FALSE(fs::exists(folder / "d.tmp"));
}

TEST_CASE("writing: a full disk leaves the old file and no part") {
  const TempFolder folder;
  const std::string path = folder / "f";
  write_file(path, "old");
  rlimit before{}, small{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  small = {100, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const std::string error = testing::error_of([&] { write_file(path, std::string(1000, 'x')); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(error == path + ": cannot be written: File too large");
  CHECK(File(path).text(9) == "old");
  CHECK_FALSE(fs::exists(path + ".tmp"));
}
