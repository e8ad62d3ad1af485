// The tensors a verb is given in a safetensors file, checked as they are asked for; errors name file, tensor and shape.
#pragma once
#include <string>
#include <vector>

#include "sspo/io/safetensors.hpp"

namespace sspo::cli {

class Inputs {
 public:
  // Floating-point inputs come as `dtype`, and tracked if `track`.
  Inputs(const std::string& path, DType dtype, const Device& device, bool track = false)
      : file_(path), dtype_(dtype), device_(device), track_(track) {}

  bool has(const std::string& name) const { return file_.find(name) != nullptr; }
  Tensor floats(const std::string& name, int rank);
  Tensor integers(const std::string& name, int rank) const;
  Tensor any(const std::string& name, int rank) const;
  Tensor whole(const std::string& name) const { return file_.load(name, device_); }  // of any rank
  const std::vector<io::NamedTensor>& tracked() const { return tracked_; }
  [[noreturn]] void wrong(const std::string& name, const std::string& expected, const Tensor& x) const;

 private:
  io::Safetensors file_;
  DType dtype_;
  Device device_;
  bool track_;
  std::vector<io::NamedTensor> tracked_;
};

}  // namespace sspo::cli
