#include "cli/data_folder.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "cli/files.hpp"
#include "io/calls.hpp"

namespace sspo::cli {
namespace {

[[noreturn]] void io_error(const std::string& path, int reason) {
  fail({.op = io::printable(path, 4096), .what = "cannot be written: " + std::generic_category().message(reason), .kind = ErrorKind::io}, Site{});
}

// Not synced: thousands of pictures are, all at once.
void write_plainly(const std::string& path, const std::string& bytes) {
  if (const int reason = io::write_unsynced(path, bytes)) io_error(path, reason);
}

void sync_file_system(const std::string& folder) {
  const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) io_error(folder, errno);
  const bool synced = syncfs(descriptor) == 0;
  const int reason = errno;
  close(descriptor);
  if (!synced) io_error(folder, reason);
}

}  // namespace

DataFolder::DataFolder(std::string folder, bool force) : folder_(std::move(folder)), force_(force) { make_output_folder(folder_, force); }

void DataFolder::add(const io::Row& row, const io::Image& picture) {
  const std::string line = io::metadata_line(row);
  if (const std::size_t slash = row.picture.rfind('/'); slash != row.picture.npos && inner_.insert(row.picture.substr(0, slash)).second)
    make_output_folder(folder_ + "/" + row.picture.substr(0, slash), force_);
  write_plainly(folder_ + "/" + row.picture, io::encode_png(picture));
  metadata_ += line;
  hash_.add(line);
  hash_.add({reinterpret_cast<const char*>(picture.rgb.data()), picture.rgb.size()});
}

std::string DataFolder::finish() {
  sync_file_system(folder_);
  io::write_file(folder_ + "/metadata.jsonl", metadata_);
  return hash_.hex();
}

}  // namespace sspo::cli
