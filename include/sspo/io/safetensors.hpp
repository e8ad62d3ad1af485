// safetensors: named tensors in one file, each a run of plain bytes behind a JSON header. Read strictly, written whole.
//   Safetensors file("unet/diffusion_pytorch_model.safetensors");     // reads the header alone
//   Tensor w = file.load("conv_in.weight");                           // as stored: dtype, shape, order of axes
//   save_safetensors("out.safetensors", {{"conv_in.weight", w}}, {{"format", "pt"}});
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sspo/base/function.hpp"
#include "sspo/io/file.hpp"
#include "sspo/tensor/tensor.hpp"

namespace sspo::io {

// A type the format knows. Those without a DType can be listed, not loaded.
struct StoredType {
  std::string_view name;  // "BF16"
  unsigned bits;
  std::optional<DType> dtype;
};

struct StoredTensor {
  std::string name;
  const StoredType* type;
  std::vector<std::uint64_t> shape;  // empty: a scalar. Any number of axes; the engine loads up to 6
  std::uint64_t begin, end;          // bytes [begin, end) of the file
  std::vector<std::uint64_t> strides = {};  // in elements, where a file of torch holds a view; empty: row-major, as safetensors are
  std::string str() const;           // "[320, 4, 3, 3] F16"
};

using Metadata = std::map<std::string, std::string>;

struct SafetensorsHeader {
  std::vector<StoredTensor> tensors;    // in the order of their bytes
  std::vector<std::uint32_t> by_name;   // their indices, names ascending
  Metadata metadata;
  const StoredTensor* find(std::string_view name) const;  // null: not there
};

// The length of the JSON text, from a file's first 8 bytes (fewer: an Error).
std::uint64_t safetensors_header_size(std::string_view first_bytes, std::uint64_t file_size, const Place& place);
// The JSON text. Accepted means: names are unique; the ranges follow each other from 8 + header.size() to file_size
// without hole or overlap; each is as long as its shape and type say. Everything else throws Error{file}.
SafetensorsHeader parse_safetensors(std::string_view header, std::uint64_t file_size, const Place& place);

// The JSON text for these tensors, whose ranges follow each other from wherever the first begins; padded with blanks so that
// the data begin on a multiple of 8. Error{input}: a name or metadata is not UTF-8, or the text exceeds the format's limit.
std::string write_safetensors_header(const std::vector<StoredTensor>& tensors, const Metadata& metadata);
const StoredType* stored_type(DType dtype);
const StoredType* stored_type(std::string_view name);  // null: none of the format's

class Safetensors {
 public:
  explicit Safetensors(std::string path);  // Error{io}: cannot be opened; Error{file}: the header is wrong
  const std::string& path() const { return file_.path(); }
  const std::vector<StoredTensor>& tensors() const { return header_.tensors; }
  const Metadata& metadata() const { return header_.metadata; }
  const StoredTensor* find(std::string_view name) const { return header_.find(name); }
  // Read from the file into a fresh tensor. Error{file}: no such name, a type or a rank the engine lacks, a BOOL
  // that is neither 0 nor 1.
  Tensor load(std::string_view name, const Device& device = Device::cpu()) const;
  Tensor load(const StoredTensor& stored, const Device& device = Device::cpu()) const;

 private:
  File file_;
  SafetensorsHeader header_;
};

struct NamedTensor {
  std::string name;
  Tensor tensor;
};
// The same, read when its turn to be written comes: of tensors that lie in files, one at a time is in memory.
struct TensorSource {
  std::string name;
  Shape shape;
  DType dtype;
  Function<Tensor()> read;
  std::string str() const { return shape.str() + " " + std::string(name_of(dtype)); }
};
// The largest element type first, then by name; the data begin on a multiple of 8. Replaces PATH whole or not at all.
// Error{input}: a name twice, not UTF-8, or "__metadata__". Error{io} as FileWriter.
void save_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors, const Metadata& metadata = {});
void stream_safetensors(const std::string& path, const std::vector<TensorSource>& tensors, const Metadata& metadata = {});

}  // namespace sspo::io
