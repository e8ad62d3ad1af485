#include "sspo/io/manifest.hpp"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "io/calls.hpp"
#include "io/json.hpp"
#include "io/text.hpp"
#include "sspo/io/hash.hpp"

namespace sspo::io {
namespace {

namespace fs = std::filesystem;

constexpr const char* file_name = "MANIFEST.json";
constexpr std::uint64_t most_bytes = 16u << 20;

[[noreturn]] void io_error(const std::string& path, const std::string& what, std::string hint = {}) {
  fail({.op = printable(path, 4096), .what = what, .hint = std::move(hint), .kind = ErrorKind::io}, Site{});
}

bool is_digest(std::string_view s) { return s.size() == 64 && s.find_first_not_of("0123456789abcdef") == s.npos; }

// Relative names of all files below, in order, and the folders that hold them. Links and devices are refused.
struct Listing {
  std::vector<std::string> files, folders;
};
Listing list(const std::string& folder) {
  Listing all{{}, {folder}};
  std::error_code error;
  fs::recursive_directory_iterator it(folder, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    const fs::file_status status = it->symlink_status(error);
    if (error) break;
    const std::string name = fs::path(it->path()).lexically_relative(folder).generic_string();
    if (fs::is_directory(status)) all.folders.push_back(it->path().string());
    else if (!fs::is_regular_file(status)) bad_file({.path = folder, .field = name}, "no regular file", "files and folders");
    else if (name != file_name) check_plain_name(name, {.path = folder, .field = name}), all.files.push_back(name);
  }
  if (error) io_error(folder, "cannot be listed: " + error.message());
  std::sort(all.files.begin(), all.files.end());
  return all;
}

Manifest::Entry entry_of(const std::string& path) {
  const File file(path);
  return {file.size(), sha256_hex(file)};
}

}  // namespace

Manifest parse_manifest(std::string_view text, const Place& place) {
  const Json root = parse_json(text, place);
  Fields fields(root, place);
  const Index format = fields.integer("format", 1, 1'000'000);
  if (format != manifest_format)
    fields.wrong("format", "written by another version", std::to_string(manifest_format), std::to_string(format));
  Manifest manifest;
  if (const Json* about = fields.raw("about")) {
    const Place here = place.in("about");
    if (!about->is_object()) bad_file(here, "not an object", "an object of texts");
    for (const auto& [name, value] : about->items()) {
      if (!value.is_string()) bad_file(here.in(name), "wrong value", "a text");
      manifest.about.emplace(name, value.get<std::string>());
    }
  }
  const Json* files = fields.raw("files");
  if (!files || !files->is_object()) fields.wrong("files", files ? "not an object" : "is missing", "an object: file to size and sha256");
  for (const auto& [name, value] : files->items()) {
    const Place here = place.in("files").in(name);
    check_plain_name(name, here);
    if (name == file_name) bad_file(here, "a manifest does not list itself");
    Fields entry(value, here);
    const Index size = entry.integer("size", 0, std::numeric_limits<Index>::max());
    const std::string digest = entry.text("sha256");
    if (!is_digest(digest)) entry.wrong("sha256", "no digest", "64 hexadecimal digits in small letters", digest);
    manifest.files.emplace(name, Manifest::Entry{std::uint64_t(size), digest});
  }
  return manifest;
}

std::string write_manifest(const Manifest& manifest) {
  Json root = {{"format", manifest_format}, {"about", Json::object()}, {"files", Json::object()}};
  Json::object_t::Container& about = root["about"].get_ref<Json::object_t&>();  // its own insertion searches all keys
  for (const auto& [name, value] : manifest.about) {
    if (find_bad_utf8(name + value) != std::string::npos) fail({.op = "write_manifest", .what = "not UTF-8", .got = "\"" + printable(name + ": " + value) + "\""}, Site{});
    about.emplace_back(name, value);
  }
  Json::object_t::Container& files = root["files"].get_ref<Json::object_t&>();
  for (const auto& [name, e] : manifest.files) files.emplace_back(name, Json{{"size", e.size}, {"sha256", e.sha256}});
  return root.dump(2) + "\n";
}

Manifest read_manifest(const std::string& folder) {
  const std::string path = folder + "/" + file_name;
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    bad_file({.path = folder}, "no MANIFEST.json", "a finished folder", fs::exists(folder, ignored) ? "" : "no folder");
  const File file(path);
  return parse_manifest(file.text(most_bytes), {.path = path});
}

Manifest manifest_of(const std::string& folder, Manifest::About about) {
  Manifest manifest{.about = std::move(about)};
  for (const std::string& name : list(folder).files) manifest.files.emplace(name, entry_of(folder + "/" + name));
  return manifest;
}

Manifest verify_folder(const std::string& folder) {
  const Manifest manifest = read_manifest(folder);
  const std::vector<std::string> there = list(folder).files;
  for (const std::string& name : there)
    if (!manifest.files.count(name)) bad_file({.path = folder + "/" + name}, "the manifest does not list this file");
  for (const auto& [name, expected] : manifest.files) {
    const Place place{.path = folder + "/" + name};
    if (!std::binary_search(there.begin(), there.end(), name)) bad_file(place, "missing, though the manifest lists it");
    const File file(place.path);
    if (file.size() != expected.size)
      bad_file(place, "the file is damaged", std::to_string(expected.size) + " bytes", std::to_string(file.size()) + " bytes");
    if (const std::string digest = sha256_hex(file); digest != expected.sha256)
      bad_file(place, "the file is damaged", "SHA-256 " + expected.sha256, digest);
  }
  return manifest;
}

FolderWriter::FolderWriter(std::string path) : path_(std::move(path)), part_(path_ + ".tmp") {
  std::error_code error;
  if (fs::exists(fs::symlink_status(path_, error))) io_error(path_, "is there already", "what is finished is never changed");
  error = remove_tree(part_);
  if (!error) error = make_folders(part_);
  if (error) io_error(part_, "cannot be made: " + error.message());
}

FolderWriter::~FolderWriter() {
  std::error_code ignored;
  if (!finished_) fs::remove_all(part_, ignored);
}

Manifest FolderWriter::finish(Manifest::About about) {
  Listing all = list(part_);
  Manifest manifest{.about = std::move(about)};
  for (const std::string& name : all.files) {
    sync(part_ + "/" + name);
    manifest.files.emplace(name, entry_of(part_ + "/" + name));
  }
  write_file(part_ + "/" + file_name, write_manifest(manifest));
  std::reverse(all.folders.begin(), all.folders.end());  // the inner ones first
  for (const std::string& folder : all.folders) sync(folder);
  if (const std::error_code error = move_path(part_, path_)) io_error(path_, "cannot be written: " + error.message());
  finished_ = true;
  const fs::path parent = fs::path(path_).parent_path();
  sync(parent.empty() ? "." : parent.string());
  return manifest;
}

}  // namespace sspo::io
