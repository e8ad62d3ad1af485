// Files of torch.save (.ckpt, .pt, .pth, .bin), in the zip format it writes since torch 1.6 or the one before: the tensors, and nothing else. No
// pickle is run: tensors, storages, parameters, dicts, lists, numbers and texts are understood; any other name, os.system for
// instance, is refused with its place, and nothing is built for it.
//   TorchFile file("v1-5-pruned-emaonly.ckpt");                       // reads the directory and data.pkl alone
//   Tensor w = file.load(*file.find("model.diffusion_model.input_blocks.0.0.weight"));
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "sspo/io/safetensors.hpp"

namespace sspo::io {

// Accepted means: names are unique; each tensor, strides and all, lies in its storage, and each storage is an entry of the archive of
// exactly its size. Tensors may share bytes. Keys of nested dicts and lists are joined with dots; where the file holds a dict
// `state_dict`, its tensors are the file's and all beside it is passed over.
struct TorchContents {
  std::vector<StoredTensor> tensors;  // names ascending
  std::uint64_t skipped = 0;          // other values: step counters, hyperparameters, an optimizer's tensors
};

class TorchFile {
 public:
  explicit TorchFile(std::string path);  // Error{io}: cannot be opened; Error{file}: what it holds is wrong or refused
  const std::string& path() const { return file_.path(); }
  const std::vector<StoredTensor>& tensors() const { return contents_.tensors; }
  std::uint64_t skipped() const { return contents_.skipped; }
  const StoredTensor* find(std::string_view name) const;  // null: not there
  // Read from the file into a fresh tensor, a view's elements gathered. Error{file} as Safetensors::load.
  Tensor load(const StoredTensor& stored, const Device& device = Device::cpu()) const;

 private:
  File file_;
  TorchContents contents_;
};

}  // namespace sspo::io
