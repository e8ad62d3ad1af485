#include "cli/output_folder.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "cli/files.hpp"
#include "io/calls.hpp"

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void io_error(const std::string& path, const std::error_code& reason) {
  fail({.op = io::printable(path, 4096), .what = "cannot be written: " + reason.message(), .kind = ErrorKind::io}, Site{});
}

// What --force may throw away: nothing, or something that the check of data sets would look at.
bool is_replaceable(const fs::path& folder) {
  std::error_code error;
  bool empty = true;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    empty = false;
    const std::string name = it->path().filename().string();
    if (name == "metadata.jsonl" || name.ends_with(".tar")) return true;
  }
  return empty && !error;
}

std::error_code system_error() { return {errno, std::generic_category()}; }

// In one step, so that at no time there is neither; where the file system knows no such step, in three.
std::error_code swap_paths(const std::string& a, const std::string& b) {
  if (io::faulty("rename", [&] { return renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE); }) == 0) return {};
  if (errno != EINVAL && errno != ENOSYS) return system_error();
  const std::string aside = a + "-old";
  for (const auto& [from, to] : {std::pair(b, aside), std::pair(a, b), std::pair(aside, a)})
    if (const std::error_code e = io::move_path(from, to)) return e;
  return {};
}

}  // namespace

OutputFolder::OutputFolder(std::string path, bool force) : path_(std::move(path)) {
  while (path_.size() > 1 && path_.ends_with('/')) path_.pop_back();
  const fs::path whole(path_), parent = whole.parent_path();
  std::error_code error;
  const std::string shown = io::printable(path_, 4096);
  if (!parent.empty() && !fs::is_directory(parent, error)) fail({.op = shown, .what = "there is no such folder", .kind = ErrorKind::io}, Site{});
  if (fs::symlink_status(path_, error).type() != fs::file_type::not_found) {
    if (!force) fail({.op = shown, .what = "exists already", .hint = "--force replaces it", .kind = ErrorKind::file}, Site{});
    if (!fs::is_directory(fs::symlink_status(path_, error)) || !is_replaceable(whole))
      fail({.op = shown, .what = "is no data set: it is not replaced", .expected = "a folder with metadata.jsonl or tars, or an empty one", .kind = ErrorKind::file}, Site{});
  }
  part_ = (parent.empty() ? fs::path() : parent / "").string() + "." + whole.filename().string() + ".unfinished";
  if (const std::error_code e = io::remove_tree(part_)) io_error(part_, e);
  if (const std::error_code e = io::make_folders(part_)) io_error(part_, e);
}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  if (!finished_) fs::remove_all(part_, ignored);
}

void OutputFolder::finish() {
  const int folder = open(part_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = folder >= 0 && io::faulty("fsync", [&] { return syncfs(folder); }) == 0;
  const std::error_code reason = system_error();
  if (folder >= 0) close(folder);
  if (!synced) io_error(part_, reason);
  std::error_code ignored;
  const bool replaces = fs::exists(path_, ignored);
  if (replaces) {
    if (const std::error_code e = swap_paths(part_, path_)) io_error(path_, e);
  } else if (const std::error_code e = io::move_path(part_, path_)) {
    io_error(path_, e);
  }
  finished_ = true;
  const std::string parent = fs::path(path_).parent_path().string();
  io::sync(parent.empty() ? "." : parent);
  if (replaces) fs::remove_all(part_, ignored);
}

}  // namespace sspo::cli
