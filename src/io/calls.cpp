#include "io/calls.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <string_view>
#include <utility>

#include "sspo/base/error.hpp"

namespace sspo::io {
namespace {

namespace fs = std::filesystem;

struct Fault {
  std::string op, kind;
  long at = 0, calls = 0;
  bool short_write = false;  // due at the write that is being made
};

constexpr std::array<std::string_view, 10> ops = {"open", "read", "write", "fsync", "close", "rename", "mkdir", "remove", "lock", "any"};
constexpr std::array<std::string_view, 5> kinds = {"kill", "enospc", "eio", "short", "hang"};

Fault parse_fault(const std::string& spec) {
  if (spec.empty()) return {"any", "", 0};
  const std::size_t first = spec.find(':'), second = first == spec.npos ? spec.npos : spec.find(':', first + 1);
  Fault f;
  if (second != spec.npos) {
    f.op = spec.substr(0, first), f.kind = spec.substr(second + 1);
    const char* end = spec.data() + second;
    if (std::from_chars(spec.data() + first + 1, end, f.at).ptr != end) f.at = 0;
  }
  const auto among = [](const auto& list, const std::string& word) { for (const std::string_view w : list) if (w == word) return true; return false; };
  if (!among(ops, f.op) || !among(kinds, f.kind) || f.at < 1)
    fail({.op = "SSPO_FAULT", .what = "not understood", .expected = "op:k:kill|enospc|eio|short|hang, k from 1", .got = "\"" + spec + "\""}, Site{});
  return f;
}

std::mutex& guard() { static std::mutex m; return m; }
Fault& fault() {
  static Fault f = [] {
    const char* spec = std::getenv("SSPO_FAULT");
    return parse_fault(spec ? spec : "");
  }();
  return f;
}

#ifdef SSPO_FAULTS
constexpr bool built_in = true;
#else
constexpr bool built_in = false;
#endif

std::error_code system_error() { return {errno, std::generic_category()}; }

}  // namespace

bool faults_built_in() { return built_in; }

int fault_at(const char* op) {
  if (!built_in) return 0;
  std::string kind;
  {
    const std::lock_guard lock(guard());
    Fault& f = fault();
    if (f.op != "any" && f.op != op) return 0;
    if (++f.calls != f.at) return 0;
    kind = f.kind;
    if (kind == "short") {
      const std::string_view o = op;
      f.short_write = o == "write";
      return o == "open" || o == "read" || o == "fsync" ? EINTR : 0;
    }
  }
  if (kind == "kill") kill(getpid(), SIGKILL);
  while (kind == "hang" || kind == "kill") pause();
  return kind == "enospc" ? ENOSPC : kind == "eio" ? EIO : EINTR;
}

bool write_is_short() {
  if (!built_in) return false;
  const std::lock_guard lock(guard());
  return std::exchange(fault().short_write, false);
}

void set_fault(const char* spec) {
  const std::lock_guard lock(guard());
  fault() = parse_fault(spec);
}

long fault_calls() {
  const std::lock_guard lock(guard());
  return fault().calls;
}

int append_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto done = faulty("write", [&] { return ::write(descriptor, bytes.data(), few(bytes.size())); });
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno;
    bytes.remove_prefix(static_cast<std::size_t>(done));
  }
  return 0;
}

int write_unsynced(const std::string& path, std::string_view bytes) {
  const int descriptor = faulty("open", [&] { return open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666); });
  if (descriptor < 0) return errno;
  const int reason = append_all(descriptor, bytes);
  const bool closed = faulty("close", [&] { return close(descriptor); }) == 0;
  return reason ? reason : closed ? 0 : errno;
}

std::error_code make_folders(const std::string& path) {
  std::error_code error;
  return faulty("mkdir", [&] { fs::create_directories(path, error); return 0; }) < 0 ? system_error() : error;
}

std::error_code move_path(const std::string& from, const std::string& to) {
  return faulty("rename", [&] { return std::rename(from.c_str(), to.c_str()); }) < 0 ? system_error() : std::error_code{};
}

std::error_code remove_tree(const std::string& path) {
  std::error_code error;
  return faulty("remove", [&] { fs::remove_all(path, error); return 0; }) < 0 ? system_error() : error;
}

}  // namespace sspo::io
