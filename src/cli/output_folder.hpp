// A folder that appears whole, under its name, or not at all.
//   OutputFolder folder("set", force);
//   io::write_file(folder / "metadata.jsonl", text);
//   folder.finish();
#pragma once
#include <string>

namespace sspo::cli {

class OutputFolder {
 public:
  // Fills .NAME.unfinished beside PATH; what an earlier run left there goes. Error{file}: PATH is there and `force` is false, or
  // is no data set, which is never replaced.
  OutputFolder(std::string path, bool force);
  ~OutputFolder();  // what was not finished goes
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  std::string operator/(const std::string& name) const { return part_ + "/" + name; }
  const std::string& part() const { return part_; }
  // Syncs the file system, puts the folder in its place, syncs that; then what was there goes.
  void finish();

 private:
  std::string path_, part_;
  bool finished_ = false;
};

}  // namespace sspo::cli
