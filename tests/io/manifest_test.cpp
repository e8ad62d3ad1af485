// Manifests and folders in the making: order of writing, every kind of damage, what is refused.
#include <fstream>

#include "io/folder.hpp"
#include "sspo/io/hash.hpp"
#include "sspo/io/manifest.hpp"
#include "support.hpp"

using namespace sspo;
using namespace sspo::io;
using namespace sspo::testing;
namespace fs = std::filesystem;

namespace {

void write(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

Manifest finished(const std::string& path) {
  FolderWriter out(path);
  write(out.folder() + "/config.json", "{}");
  write(out.folder() + "/unet/weights", std::string(3000, 'w'));
  write(out.folder() + "/unet/empty", "");
  return out.finish({{"step", "12"}});
}

const std::string digest(64, 'a');
std::string with_files(const std::string& files) { return R"({"format": 1, "files": {)" + files + "}}"; }
std::string entry(const std::string& size = "1", const std::string& sha = "\"" + digest + "\"") { return R"({"size": )" + size + R"(, "sha256": )" + sha + "}"; }

}  // namespace

TEST_CASE("manifest: a finished folder lists each file with its size and SHA-256, and verifies") {
  const TempFolder folder;
  const Manifest m = finished(folder / "step-12");
  CHECK(m.about == Manifest::About{{"step", "12"}});
  REQUIRE(m.files.size() == 3);
  CHECK(m.files.at("config.json") == Manifest::Entry{2, sha256_hex("{}")});
  CHECK(m.files.at("unet/weights") == Manifest::Entry{3000, sha256_hex(std::string(3000, 'w'))});
  CHECK(m.files.at("unet/empty") == Manifest::Entry{0, sha256_hex("")});
  CHECK(verify_folder(folder / "step-12") == m);
  CHECK(read_manifest(folder / "step-12") == m);
  CHECK(manifest_of(folder / "step-12", m.about) == m);
  CHECK_FALSE(fs::exists(folder / "step-12.tmp"));
  CHECK(parse_manifest(write_manifest(m), {.path = "m"}) == m);
}

TEST_CASE("manifest: every damage names its file and what is wrong") {
  const auto damaged = [](auto&& damage, std::initializer_list<const char*> parts) {
    const TempFolder folder;
    finished(folder / "k");
    damage(folder / "k");
    const std::string text = error_of([&] { verify_folder(folder / "k"); });
    CHECK(text.find('\n') == std::string::npos);
    for (const char* part : parts) {
      INFO("missing '" << std::string(part) << "' in: " << text);
      CHECK(text.find(part) != std::string::npos);
    }
  };
  damaged([](const std::string& k) { fs::resize_file(k + "/unet/weights", 2999); }, {"k/unet/weights: the file is damaged", "expected 3000 bytes, got 2999 bytes"});
  damaged([](const std::string& k) { std::string w(3000, 'w'); w[1234] = 'v'; write(k + "/unet/weights", w); }, {"k/unet/weights: the file is damaged", "SHA-256"});
  damaged([](const std::string& k) { fs::remove(k + "/config.json"); }, {"k/config.json: missing"});
  damaged([](const std::string& k) { fs::remove_all(k + "/unet"); }, {"k/unet/empty: missing"});
  damaged([](const std::string& k) { fs::resize_file(k + "/unet/weights", 0); }, {"k/unet/weights", "got 0 bytes"});
  damaged([](const std::string& k) { write(k + "/unet/more", "x"); }, {"k/unet/more: the manifest does not list this file"});
  damaged([](const std::string& k) { fs::rename(k + "/config.json", k + "/a"), fs::rename(k + "/unet/empty", k + "/config.json"), fs::rename(k + "/a", k + "/unet/empty"); }, {"k/config.json: the file is damaged"});
  damaged([](const std::string& k) { fs::remove(k + "/MANIFEST.json"); }, {"k: no MANIFEST.json", "a finished folder"});
  damaged([](const std::string& k) { fs::resize_file(k + "/MANIFEST.json", 40); }, {"k/MANIFEST.json@40"});
  damaged([](const std::string& k) { fs::remove_all(k); }, {"k: no MANIFEST.json", "no folder"});
  damaged([](const std::string& k) { fs::remove(k + "/config.json"), fs::create_symlink("unet/empty", k + "/config.json"); }, {"config.json: no regular file"});
}

TEST_CASE("manifest: an unfinished folder is not there, and leaves nothing") {
  const TempFolder folder;
  {
    FolderWriter out(folder / "k");
    write(out.folder() + "/config.json", "{}");
    CHECK_FALSE(fs::exists(folder / "k"));
  }
  CHECK(fs::is_empty(folder.path()));
  write(folder / "k.tmp/left/over", "from a process that was killed");
  CHECK(finished(folder / "k").files.size() == 3);
  CHECK_FALSE(fs::exists(folder / "k/left"));
}

TEST_CASE("manifest: what is finished is never changed") {
  const TempFolder folder;
  finished(folder / "k");
  check_error([&] { FolderWriter again(folder / "k"); }, {"k: is there already", "never changed"});
  FolderWriter late(folder / "late");
  write(late.folder() + "/a", "a");
  finished(folder / "other");
  fs::rename(folder / "other", folder / "late");
  check_error([&] { late.finish(); }, {"late: cannot be written"});
  CHECK(verify_folder(folder / "late").files.size() == 3);
}

TEST_CASE("manifest: texts that are refused, field by field") {
  const auto refused = [](const std::string& text, std::initializer_list<const char*> parts) { check_error([&] { parse_manifest(text, {.path = "m"}); }, parts); };
  CHECK(parse_manifest(with_files(R"("a/b": )" + entry()), {.path = "m"}).files.at("a/b").size == 1);
  refused("[]", {"m: ", "object"});
  refused("{}", {"m: format"});
  refused(R"({"format": 2, "files": {}})", {"m: format: written by another version", "expected 1, got 2"});
  refused(R"({"format": 1})", {"m: files: is missing"});
  refused(R"({"format": 1, "files": []})", {"m: files: not an object"});
  refused(R"({"format": 1, "files": {}, "about": {"step": 3}})", {"m: about.step", "a text"});
  refused(R"({"format": 1, "files": {}, "about": 3})", {"m: about: not an object"});
  for (const char* name : {"../a", "/a", "a//b", "", "a\\\\b", "a/./b"})
    refused(with_files("\"" + std::string(name) + "\": " + entry()), {"files", "not a plain relative name"});
  refused(with_files("\"MANIFEST.json\": " + entry()), {"does not list itself"});
  refused(with_files("\"a\": 3"), {"files.a"});
  refused(with_files("\"a\": " + entry("-1")), {"files.a.size"});
  refused(with_files("\"a\": " + entry("1.5")), {"files.a.size"});
  refused(with_files("\"a\": " + entry("1e30")), {"files.a.size"});
  refused(with_files("\"a\": " + entry("1", "\"" + std::string(63, 'a') + "\"")), {"files.a.sha256", "64 hexadecimal digits"});
  refused(with_files("\"a\": " + entry("1", "\"" + std::string(64, 'A') + "\"")), {"files.a.sha256"});
  refused(with_files("\"a\": " + entry() + ", \"a\": " + entry()), {"a"});
}

TEST_CASE("manifest: texts that JSON cannot hold are refused") {
  check_error([] { write_manifest({.about = {{"note", "caf\xe9"}}}); }, {"write_manifest: not UTF-8", "caf\\xe9"});
}

TEST_CASE("sync: a file, a folder, nothing") {
  const TempFolder folder;
  write(folder / "a", "x");
  sync(folder / "a");
  sync(folder.path());
  check_error([&] { sync(folder / "b"); }, {"b: cannot be synced", "No such file"});
}
