#include "sspo/train/run_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <filesystem>
#include <system_error>
#include <utility>

#include "io/calls.hpp"
#include "io/json.hpp"

namespace sspo {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t most_recipe = 16u << 20, most_metrics = std::uint64_t(4) << 30;

[[noreturn]] void io_error(const std::string& path, const char* what, int reason) {
  fail({.op = io::printable(path, 4096), .what = what + (": " + std::generic_category().message(reason)), .kind = ErrorKind::io}, Site{});
}

std::string_view next_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

std::string_view key_of(std::string_view line) { return line.substr(0, std::min(line.find(" = "), line.size())); }

// The step of a line of metrics, or -1: no such line.
Index step_of(std::string_view line, const io::Place& place) {
  try {
    const io::Json json = io::parse_json(line, place);
    return io::Fields(json, place).integer("step", 0, std::numeric_limits<Index>::max());
  } catch (const Error&) {
    return -1;
  }
}

void write_all(int descriptor, const std::string& path, std::string_view bytes) {
  if (const int reason = io::append_all(descriptor, bytes)) io_error(path, "cannot be written", reason);
}

}  // namespace

RunFolder::RunFolder(std::string path) : path_(std::move(path)) {
  if (const std::error_code error = io::make_folders(path_)) io_error(path_, "the folder cannot be made", error.value());
  const std::string name = path_ + "/lock";
  lock_ = io::faulty("lock", [&] { return open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666); });
  if (lock_ < 0) io_error(name, "cannot be opened", errno);
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    char pid[24] = {};
    const auto got = pread(lock_, pid, sizeof pid - 1, 0);
    close(std::exchange(lock_, -1));
    if (reason != EWOULDBLOCK) io_error(name, "cannot be locked", reason);
    std::string holder(pid, pid + std::max<ssize_t>(got, 0));
    holder = holder.substr(0, holder.find('\n'));
    fail({.op = io::printable(path_, 4096), .what = "another process trains here: pid " + (holder.empty() ? "unknown" : io::printable(holder)), .hint = "wait for it, or choose another --out",
          .kind = ErrorKind::locked}, Site{});
  }
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(lock_, 0) != 0) io_error(name, "cannot be written", errno);
  write_all(lock_, name, pid);
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) close(lock_);  // and with it goes the lock; the file stays: to remove it would let two processes in
}

void RunFolder::keep_recipe(const std::string& text) const {
  const std::string file = path_ + "/recipe.toml";
  std::error_code none;
  if (!fs::exists(file, none)) return io::write_file(file, text);
  const std::string there = io::File(file).text(most_recipe);
  if (there == text) return;
  std::string_view a = there, b = text;
  while (!a.empty() || !b.empty()) {
    const std::string_view has = next_line(a), wants = next_line(b);
    if (has == wants) continue;
    const std::string_view key = key_of(wants.empty() ? has : wants);
    const auto value = [&](std::string_view line) { return key_of(line) == key && line.size() > key.size() ? std::string(line.substr(key.size() + 3)) : std::string("not given"); };
    io::bad_file({.path = file, .field = std::string(key)}, "the run holds another recipe", value(has), value(wants), "choose another --out, or train with this folder's recipe.toml");
  }
  io::bad_file({.path = file}, "the run holds another recipe", {}, {}, "choose another --out");
}

void RunFolder::require_space(std::uint64_t bytes, const std::string& what) const {
  struct statvfs disk {};
  if (statvfs(path_.c_str(), &disk) != 0) io_error(path_, "cannot be examined", errno);
  const std::uint64_t room = std::uint64_t(disk.f_bavail) * disk.f_frsize;
  if (room >= bytes) return;
  const auto mib = [](std::uint64_t b) { return std::to_string(b >> 20) + " MiB"; };
  fail({.op = io::printable(path_, 4096), .what = "too little room on the disk for " + what, .expected = mib(bytes), .got = mib(room), .hint = "free some, or choose another --out",
        .kind = ErrorKind::io}, Site{});
}

MetricsLog::MetricsLog(std::string path, Index step) : path_(std::move(path)) {
  std::error_code none;
  if (fs::exists(path_, none)) {
    const std::string all = io::File(path_).text(most_metrics);
    std::size_t kept = 0;
    for (std::size_t at = 0; at < all.size();) {  // steps ascend: what is kept is a beginning
      const std::size_t end = all.find('\n', at);
      if (end == all.npos) break;  // torn
      const Index s = step_of(std::string_view(all).substr(at, end - at), {.path = path_});
      if (s < 0 || s > step) break;
      kept = at = end + 1, last_ = s;
    }
    if (kept < all.size()) io::write_file(path_, std::string_view(all).substr(0, kept));
  }
  descriptor_ = io::faulty("open", [&] { return open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666); });
  if (descriptor_ < 0) io_error(path_, "cannot be written", errno);
}

MetricsLog::~MetricsLog() {
  if (descriptor_ >= 0) close(descriptor_);
}

void MetricsLog::add(Index step, const std::vector<Metric>& metrics) {
  io::Json line = {{"step", step}};
  last_ = step;
  for (const Metric& m : metrics) line[m.name] = std::isfinite(m.value) ? io::Json(m.value) : io::Json();
  write_all(descriptor_, path_, line.dump() + "\n");
}

void MetricsLog::sync() {
  int result;
  do result = io::faulty("fsync", [&] { return fsync(descriptor_); });
  while (result != 0 && errno == EINTR);
  if (result != 0) io_error(path_, "cannot be synced", errno);
}

}  // namespace sspo
