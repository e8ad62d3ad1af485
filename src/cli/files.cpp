#include "cli/files.hpp"

#include <algorithm>

namespace sspo::cli {
namespace fs = std::filesystem;

void check_output(const std::string& path, bool force) {
  const std::string name = io::printable(path, 4096);
  std::error_code ignored;
  if (!force && fs::exists(path, ignored)) fail({.op = name, .what = "the file exists", .hint = "--force replaces it", .kind = ErrorKind::file}, Site{});
  if (fs::exists(path, ignored) && !fs::is_regular_file(path, ignored))  // said before hours of work, not after
    fail({.op = name, .what = "is no regular file", .expected = "a file to write", .kind = ErrorKind::io}, Site{});
  const fs::path folder = fs::path(path).parent_path();
  if (!folder.empty() && !fs::is_directory(folder, ignored)) fail({.op = name, .what = "there is no such folder", .kind = ErrorKind::io}, Site{});
}

void make_output_folder(const fs::path& folder, bool force) {
  const std::string name = io::printable(folder.string(), 4096);
  std::error_code error;
  if (fs::exists(folder, error) && !fs::is_directory(folder, error)) fail({.op = name, .what = "is not a folder"}, Site{});
  fs::create_directories(folder, error);
  const bool empty = !error && fs::is_empty(folder, error);
  if (error) fail({.op = name, .what = error.message(), .kind = ErrorKind::io}, Site{});
  if (!empty && !force) fail({.op = name, .what = "has content already", .hint = "--force writes over it"}, Site{});
}

void keep_settings(const std::string& path, const io::Json& settings) {
  std::error_code none;
  if (!fs::exists(path, none)) return io::write_file(path, settings.dump(2) + "\n");
  const io::Json there = io::read_json(path).flatten(), here = settings.flatten();
  for (const auto& [pointer, value] : here.items()) {
    if (there.is_object() && there.contains(pointer) && there.at(pointer) == value) continue;
    std::string field = pointer.substr(1);
    std::replace(field.begin(), field.end(), '/', '.');
    io::bad_file({.path = path, .field = field}, "the folder holds another evaluation", value.dump(), there.is_object() && there.contains(pointer) ? there.at(pointer).dump() : "nothing",
                 "choose another --out");
  }
}

}  // namespace sspo::cli
