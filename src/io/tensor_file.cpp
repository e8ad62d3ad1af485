#include "sspo/io/tensor_file.hpp"

#include <algorithm>

namespace sspo::io {
namespace {

// A safetensors header begins with a brace behind its length; files of torch.save are ZIP archives, or pickles if they are old.
std::variant<Safetensors, TorchFile> opened(std::string path) {
  bool torch = false;
  {
    const File file(path);
    std::string first(std::size_t(std::min<std::uint64_t>(file.size(), 9)), '\0');
    file.read(0, first.data(), first.size());
    torch = !(first.size() == 9 && first[8] == '{') && (first.starts_with("PK\3\4") || first.starts_with("\x80"));
  }
  if (torch) return TorchFile(std::move(path));
  return Safetensors(std::move(path));
}

}  // namespace

TensorFile::TensorFile(std::string path) : file_(opened(std::move(path))) {}

const std::string& TensorFile::path() const { return std::visit([](const auto& f) -> const std::string& { return f.path(); }, file_); }
const std::vector<StoredTensor>& TensorFile::tensors() const { return std::visit([](const auto& f) -> const std::vector<StoredTensor>& { return f.tensors(); }, file_); }
const StoredTensor* TensorFile::find(std::string_view name) const { return std::visit([&](const auto& f) { return f.find(name); }, file_); }
Tensor TensorFile::load(const StoredTensor& stored, const Device& device) const { return std::visit([&](const auto& f) { return f.load(stored, device); }, file_); }

const Metadata& TensorFile::metadata() const {
  static const Metadata none;
  return torch() ? none : std::get<Safetensors>(file_).metadata();
}

}  // namespace sspo::io
