#include "io/calls.hpp"
#include "sspo/io/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace sspo::io {
namespace {

constexpr std::size_t longest_path = 4096;

[[noreturn]] void io_error(const std::string& path, const char* what, int reason) {
  fail({.op = printable(path, longest_path), .what = what + (": " + std::generic_category().message(reason)), .kind = ErrorKind::io}, Site{});
}

[[noreturn]] void no_file(const std::string& path, mode_t mode) {
  fail({.op = printable(path, longest_path), .what = S_ISDIR(mode) ? "is a folder" : "is no regular file", .expected = "a file",
        .kind = ErrorKind::io}, Site{});
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// A call that a signal interrupts is made again.
template <class F>
auto retry(const char* op, F call) {
  auto result = faulty(op, call);
  while (result < 0 && errno == EINTR) result = faulty(op, call);
  return result;
}

}  // namespace

Place Place::in(std::string_view name) const {
  Place inner = *this;
  inner.field += (field.empty() ? "" : ".") + std::string(name);
  return inner;
}

void bad_file(const Place& place, std::string what, std::string expected, std::string got, std::string hint) {
  std::string where = printable(place.path, longest_path) + printable(place.at);
  if (!place.field.empty()) where += ": " + printable(place.field, 240);
  fail({.op = std::move(where), .what = printable(what, 400), .expected = printable(expected, 400), .got = printable(got, 240),
        .hint = printable(hint, 400), .kind = ErrorKind::file}, Site{});
}

void check_plain_name(std::string_view name, const Place& place) {
  bool plain = !name.empty() && name.size() <= longest_path && name.find('\\') == name.npos && printable(name, longest_path) == name;
  for (std::size_t begin = 0; plain && begin <= name.size();) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    plain = !part.empty() && part != "." && part != "..";
    begin = end + 1;
  }
  if (!plain) bad_file(place, "not a plain relative name", "a file inside the folder", "\"" + printable(name) + "\"");
}

File::File(std::string path) : path_(std::move(path)) {
  // Without O_NONBLOCK the open of a pipe waits for a writer.
  descriptor_ = retry("open", [&] { return open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); });
  if (descriptor_ < 0) io_error(path_, "cannot be opened", errno);
  struct stat info {};
  const int reason = fstat(descriptor_, &info) == 0 ? 0 : errno;
  if (reason == 0 && S_ISREG(info.st_mode)) {
    size_ = static_cast<std::uint64_t>(info.st_size);
    return;
  }
  close(descriptor_);
  if (reason) io_error(path_, "cannot be examined", reason);
  no_file(path_, info.st_mode);
}

File::~File() {
  if (descriptor_ >= 0) close(descriptor_);
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(std::exchange(other.size_, 0)) {}

void File::read(std::uint64_t offset, void* to, std::uint64_t bytes) const {
  if (offset > size_ || bytes > size_ - offset)
    bad_file({.path = path_, .at = "@" + std::to_string(offset)}, "the file ends too early",
             std::to_string(bytes) + " bytes from here", "a file of " + std::to_string(size_) + " bytes");
  char* next = static_cast<char*>(to);
  while (bytes > 0) {
    const std::uint64_t piece = bytes < (1u << 30) ? bytes : 1u << 30;  // the kernel reads less than 2 GiB at once
    const auto got = retry("read", [&] { return pread(descriptor_, next, piece, static_cast<off_t>(offset)); });
    if (got < 0) io_error(path_, "cannot be read", errno);
    if (got == 0) bad_file({.path = path_, .at = "@" + std::to_string(offset)}, "the file became shorter while it was read",
                           std::to_string(size_) + " bytes");
    next += got, offset += static_cast<std::uint64_t>(got), bytes -= static_cast<std::uint64_t>(got);
  }
}

std::string File::text(std::uint64_t limit) const {
  if (size_ > limit)
    bad_file({.path = path_}, "the file is too large", "at most " + std::to_string(limit) + " bytes", std::to_string(size_) + " bytes");
  std::string all(size_, '\0');
  read(0, all.data(), size_);
  return all;
}

FileWriter::FileWriter(std::string path) : path_(std::move(path)), part_(path_ + ".tmp") {
  struct stat there {};  // root could rename a file over a device
  if (lstat(path_.c_str(), &there) == 0 && !S_ISREG(there.st_mode) && !S_ISLNK(there.st_mode)) no_file(path_, there.st_mode);
  descriptor_ = retry("open", [&] { return open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666); });
  if (descriptor_ < 0) io_error(part_, "cannot be written", errno);
}

FileWriter::~FileWriter() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(part_.c_str());
}

void FileWriter::give_up(int reason) {
  close(std::exchange(descriptor_, -1));
  unlink(part_.c_str());
  io_error(path_, "cannot be written", reason);
}

void FileWriter::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto done = retry("write", [&] { return ::write(descriptor_, bytes.data(), few(bytes.size())); });
    if (done < 0) give_up(errno);
    bytes.remove_prefix(static_cast<std::size_t>(done));
  }
}

void FileWriter::finish() {
  if (retry("fsync", [&] { return fsync(descriptor_); }) != 0) give_up(errno);
  if (faulty("close", [&] { return close(std::exchange(descriptor_, -1)); }) != 0 || faulty("rename", [&] { return rename(part_.c_str(), path_.c_str()); }) != 0) {
    const int reason = errno;
    if (descriptor_ >= 0) close(std::exchange(descriptor_, -1));
    unlink(part_.c_str());
    io_error(path_, "cannot be written", reason);
  }
  sync(folder_of(path_));  // the rename itself
}

void sync(const std::string& path) {
  const int descriptor = retry("open", [&] { return open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); });
  const bool synced = descriptor >= 0 && (retry("fsync", [&] { return fsync(descriptor); }) == 0 || errno == EINVAL);  // EINVAL: it cannot be synced
  const int reason = errno;
  if (descriptor >= 0) close(descriptor);
  if (!synced) io_error(path, "cannot be synced", reason);
}

void write_file(const std::string& path, std::span<const std::string_view> pieces) {
  FileWriter file(path);
  for (const std::string_view piece : pieces) file.write(piece);
  file.finish();
}

}  // namespace sspo::io
