// Files, and what is said when one is wrong: one line, PATH[:LINE|@OFFSET]: FIELD: what (expected E, got G).
//   File file("unet/config.json");                       // a regular file, or Error
//   std::string text = file.text(16 << 20);              // all of it, at most 16 MiB
//   bad_file({.path = file.path(), .at = ":12", .field = "text"}, "the line is no object");
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "sspo/base/error.hpp"

namespace sspo::io {

struct Place {
  std::string path;
  std::string at = {};     // ":12" a line, "@4096" a byte offset, or nothing
  std::string field = {};  // "weight_map.conv_in.weight"
  Place in(std::string_view name) const;  // the same with .name appended to the field
};

// Throws Error{file}: control characters of all texts escaped, long ones cut.
[[noreturn]] void bad_file(const Place& place, std::string what, std::string expected = {}, std::string got = {}, std::string hint = {});
// For messages: control characters and broken UTF-8 as \xNN, the middle of what is longer than `limit` as "...".
std::string printable(std::string_view bytes, std::size_t limit = 120);

// A name that a file gives for another one: relative, no "..", ".", empty part, backslash or control character; else Error{file}.
void check_plain_name(std::string_view name, const Place& place);

// A regular file open for reading (a link to one, too). Reads never map: a file that shrinks under us is an Error.
class File {
 public:
  explicit File(std::string path);  // throws Error{io}: cannot be opened, no regular file
  ~File();
  File(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  void read(std::uint64_t offset, void* to, std::uint64_t bytes) const;  // all of them, or Error{file}
  std::string text(std::uint64_t limit) const;                           // the whole file; larger than limit: Error{file}

 private:
  std::string path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

// A file in the making: PATH.tmp, which finish() syncs and renames to PATH. What was there stays until then, and stays
// if anything fails or finish() is not reached; then PATH.tmp goes. Throws Error{io} with the path and the system's reason;
// also if PATH is a folder, a device or a pipe.
class FileWriter {
 public:
  explicit FileWriter(std::string path);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void write(std::string_view bytes);
  void finish();  // file, rename, folder; call it last

 private:
  [[noreturn]] void give_up(int reason);

  std::string path_, part_;
  int descriptor_ = -1;
};

// What the file or folder holds (a folder: its names) survives a power loss from now on. Throws Error{io}.
void sync(const std::string& path);

// A FileWriter, all pieces one after the other, finished.
void write_file(const std::string& path, std::span<const std::string_view> pieces);
inline void write_file(const std::string& path, std::string_view content) { write_file(path, std::span(&content, 1)); }

}  // namespace sspo::io
