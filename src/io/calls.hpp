// The system calls that change or read files, each a place where a test build can be made to fail.
//   SSPO_FAULT=write:3:enospc sspo train ...    the third write finds the disk full
//   SSPO_FAULT=any:17:kill                      the process dies at the 17th call of any kind, as by kill -9
// op: open, read, write, fsync, close, rename, mkdir, remove, lock, any.   kind: kill, enospc, eio, short, hang. short: a write takes
// half of its bytes; open, read and fsync are interrupted once (EINTR). With the CMake option SSPO_FAULTS=OFF none is ever due.
#pragma once
#include <cerrno>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>

namespace sspo::io {

bool faults_built_in();
// 0, or the errno with which this call is to fail; does not return from kill and hang.
int fault_at(const char* op);
bool write_is_short();         // asked once by each write: a short one is due
void set_fault(const char* spec);  // for tests, in place of SSPO_FAULT; "" none. Starts counting anew. Error{input}: no such spec
long fault_calls();            // counted since

template <class F>
auto faulty(const char* op, F&& call) -> decltype(call()) {
  if (const int reason = fault_at(op)) {
    errno = reason;
    return -1;
  }
  return call();
}
inline std::size_t few(std::size_t bytes) { return bytes > 1 && write_is_short() ? bytes / 2 : bytes; }

// Writes them all, in as many calls as it takes: 0, or the errno of what went wrong.
int append_all(int descriptor, std::string_view bytes);

// A new file, or a new content of one, not synced: for many, synced together. 0, or the errno.
int write_unsynced(const std::string& path, std::string_view bytes);

// As those of std::filesystem, with the same names for what went wrong.
std::error_code make_folders(const std::string& path);
std::error_code move_path(const std::string& from, const std::string& to);
std::error_code remove_tree(const std::string& path);

}  // namespace sspo::io
