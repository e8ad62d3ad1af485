// A file of named tensors, told by its content: safetensors, or a file of torch.save.
//   TensorFile file("pytorch_lora_weights.bin");
#pragma once
#include <variant>

#include "sspo/io/torch_file.hpp"

namespace sspo::io {

class TensorFile {
 public:
  explicit TensorFile(std::string path);  // throws as Safetensors and TorchFile
  const std::string& path() const;
  const std::vector<StoredTensor>& tensors() const;
  const StoredTensor* find(std::string_view name) const;  // null: not there
  Tensor load(const StoredTensor& stored, const Device& device = Device::cpu()) const;
  const Metadata& metadata() const;  // empty: torch's files have none
  bool torch() const { return std::holds_alternative<TorchFile>(file_); }
  std::uint64_t skipped() const { return torch() ? std::get<TorchFile>(file_).skipped() : 0; }

 private:
  std::variant<Safetensors, TorchFile> file_;
};

}  // namespace sspo::io
