#include "sspo/io/tar.hpp"

#include "support.hpp"

using namespace sspo;
using namespace sspo::io;
using testing::check_error;

namespace {

const std::string golden = std::string(SSPO_SOURCE_DIR) + "/tests/golden/data/";

struct Found {
  TarCounts counts;
  std::vector<std::pair<std::string, std::string>> files;  // name, content
};
Found read(std::string_view bytes) {
  Found f;
  f.counts = read_tar(source_of(bytes), {.path = "t.tar"}, [&](const TarMember& m) { f.files.emplace_back(m.name, bytes.substr(m.begin, m.size)); });
  return f;
}
void refused(std::string_view bytes, std::initializer_list<const char*> parts) { check_error([&] { read(bytes); }, parts); }

// A header with other fields, and a checksum that fits.
std::string with(std::string member, std::size_t at, std::string_view field) {
  member.replace(at, field.size(), field);
  member.replace(148, 8, 8, ' ');
  unsigned sum = 0;
  for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(member[i]);
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  return member.replace(148, 7, std::string_view(text, 7));
}
std::string typed(char type, std::string_view content = "") { return with(tar_member("name", content), 156, {&type, 1}); }

}  // namespace

TEST_CASE("tar: what is written reads the same, names of any length, too") {
  std::vector<std::pair<std::string, std::string>> files = {{"a.txt", ""}, {"b/c.jpg", std::string(512, 'x')}, {std::string(100, 'n'), "1"}, {std::string(101, 'n'), "22"},
                                                            {std::string(985, 'd') + "/e", std::string(1000, 'y')}, {std::string(4000, 'd'), "z"}};
  std::string tar;
  for (const auto& [name, bytes] : files) tar += tar_member(name, bytes);
  const Found f = read(tar + tar_end());
  CHECK(f.files == files);
  CHECK(f.counts.files == 6);
  CHECK(looks_like_tar(tar));
  CHECK(!looks_like_tar(std::string(512, '\0')));
}

TEST_CASE("tar: Python's, in both of its formats: long names, links, devices, folders") {
  for (const char* name : {"pax.tar", "gnu.tar"}) {
    INFO(name);
    const Found f = read(File(golden + name).text(1 << 20));
    REQUIRE(f.files.size() == 4);
    CHECK(f.files[0].first == "a/cat.png");
    CHECK(f.files[0].second.starts_with("\x89PNG"));
    CHECK(f.files[1] == std::pair<std::string, std::string>{"a/cat.txt", "a cat"});
    CHECK(f.files[2].first.size() == 2 + 240 + 4);
    CHECK(f.files[3].first.ends_with("long.json"));
    CHECK(f.counts.links == 2);
    CHECK(f.counts.devices == 2);
  }
}

TEST_CASE("tar: damage, lies, names that leave the folder") {
  const std::string one = tar_member("a.txt", "content"), whole = one + tar_end();
  CHECK(read(whole).files.size() == 1);
  CHECK(read(one + std::string(512, '\0')).files.size() == 1);  // one block of zeros ends it, too
  refused("", {"t.tar@0: the archive is cut short"});
  for (std::size_t size = 1; size < 1536; size += 37) refused(std::string_view(whole).substr(0, size), {"t.tar@"});
  refused(one, {"t.tar@1024: the archive is cut short (expected a header, or the blocks of zeros that end it, got 0 bytes)"});
  std::string flipped = whole;
  flipped[0] ^= 1;
  refused(flipped, {"t.tar@0: the header's checksum is wrong"});
  refused(with(one, 124, "77777777777") + tar_end(), {"t.tar@0: a member leaves the file (expected at most 1536 bytes, got 8589934591)"});
  refused(with(one, 124, "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff") + tar_end(), {"a size that is no number"});
  refused(with(one, 124, std::string_view("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12)) + tar_end(), {"a member leaves the file"});
  refused(with(one, 124, "0000000000x") + tar_end(), {"a size that is no number"});
  CHECK(read(with(one, 124, std::string_view("\x80\0\0\0\0\0\0\0\0\0\0\x07", 12)) + tar_end()).files[0].second == "content");
  for (const char* name : {"/etc/passwd", "../x", "a/../b", "a\\b", "a//b", "a\nb"}) refused(tar_member(name, "") + tar_end(), {"t.tar@0: not a plain relative name"});
  CHECK(read(tar_member("././a", "") + tar_end()).files[0].first == "a");
  refused(tar_member(std::string(70'000, 'n'), "") + tar_end(), {"a name is too long (expected at most 65536 bytes"});
  refused(typed('L', std::string(70'000, 'n')) + tar_end(), {"a name is too long (expected at most 65536 bytes"});
  refused(typed('L', "long") + tar_end(), {"ends behind a name without its file"});
  refused(typed('S') + tar_end(), {"a sparse or split file"});
  for (const char* record : {"99 path=x\n", "path=x\n", "9 path=x", "-1 path=x\n", "10 path\nx\n=", "18446744073709551615 path=x\n"}) refused(typed('x', record) + one + tar_end(), {"a pax record that is none"});
  refused(typed('x', "9 size=x\n") + one + tar_end(), {"a size that is no number"});
  CHECK(read(typed('x', "10 size=9\n") + one + tar_end()).files[0].second.size() == 9);
  refused(typed('x', "27 size=99999999999999999\n") + one + tar_end(), {"a pax record that is none"});
  refused(typed('x', "26 size=99999999999999999\n") + one + tar_end(), {"a member leaves the file"});
  CHECK(read(typed('g', "9 path=x\n") + whole).files[0].first == "a.txt");
  refused(whole + whole, {"t.tar@2048: there is something behind the end of the archive"});
  CHECK(read(whole + std::string(9000, '\0')).files.size() == 1);
  CHECK(read(with(typed('2'), 124, "77777777777") + whole).counts.links == 1);  // a link has no bytes, whatever its size says
  CHECK(read(typed('Z', "?") + whole).counts.devices == 1);
}
