// A folder of a test's own, gone with the test.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <string>

namespace sspo::testing {

class TempFolder {
 public:
  enum Where { on_disk, in_memory };  // in memory, where the system has such a place: nothing waits for a disk to sync
  explicit TempFolder(Where where = on_disk) {
    const bool memory = where == in_memory && std::filesystem::is_directory("/dev/shm");
    std::string name = ((memory ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path()) / "sspo-test-XXXXXX").string();
    if (!mkdtemp(name.data())) std::abort();
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace sspo::testing
