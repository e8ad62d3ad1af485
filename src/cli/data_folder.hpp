// A data set in the making: pictures first, then metadata.jsonl, which makes it whole.
#pragma once
#include <set>
#include <string>

#include "sspo/io/dataset.hpp"
#include "sspo/io/hash.hpp"

namespace sspo::cli {

class DataFolder {
 public:
  DataFolder(std::string folder, bool force);  // as make_output_folder
  void add(const io::Row& row, const io::Image& picture);
  // Everything is on the disk, metadata.jsonl last. The SHA-256 of lines and pixels; how PNG packs them is zlib's affair.
  std::string finish();

 private:
  std::string folder_, metadata_;
  bool force_;
  std::set<std::string> inner_;  // folders that were made
  io::Sha256 hash_;
};

}  // namespace sspo::cli
