// Folders that are whole or not there, and that know what they hold: checkpoints.
//   FolderWriter out("run/checkpoints/step-120");            // its files are written to out.folder(), step-120.tmp
//   out.finish({{"step", "120"}});                           // MANIFEST.json, synced, renamed
//   Manifest m = verify_folder("run/checkpoints/step-120");  // each file against its size and SHA-256, or an Error that names it
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "sspo/io/file.hpp"

namespace sspo::io {

// MANIFEST.json, at most 16 MiB.
struct Manifest {
  struct Entry {
    std::uint64_t size = 0;
    std::string sha256 = {};  // 64 hexadecimal digits, small letters
    bool operator==(const Entry&) const = default;
  };
  using About = std::map<std::string, std::string>;
  About about = {};                          // what the writer says of it: step, hash of its config
  std::map<std::string, Entry> files = {};   // by plain relative name
  bool operator==(const Manifest&) const = default;
};
inline constexpr int manifest_format = 1;

Manifest parse_manifest(std::string_view text, const Place& place);  // Error{file}: the field, and what is wrong
std::string write_manifest(const Manifest& manifest);
Manifest read_manifest(const std::string& folder);

Manifest manifest_of(const std::string& folder, Manifest::About about = {});  // of what lies there now; MANIFEST.json left out
// Every file the manifest lists, and no other, as it says. Error{file} names the file that is missing, too much, of another
// size or of another content.
Manifest verify_folder(const std::string& folder);

// PATH.tmp, which finish() makes PATH. Until then, and if anything fails, there is no PATH; then PATH.tmp goes, as does what an
// earlier process left of it. A finished folder is never changed: Error{io} if PATH is there already.
class FolderWriter {
 public:
  explicit FolderWriter(std::string path);
  ~FolderWriter();
  FolderWriter(const FolderWriter&) = delete;
  FolderWriter& operator=(const FolderWriter&) = delete;

  const std::string& folder() const { return part_; }
  // In this order: each file synced, MANIFEST.json written and synced, the folders, the rename, the parent.
  Manifest finish(Manifest::About about = {});

 private:
  std::string path_, part_;
  bool finished_ = false;
};

}  // namespace sspo::io
