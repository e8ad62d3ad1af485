// SHA-256 (FIPS 180-4), to tell files and weights apart.
//   std::string digest = sha256_hex(File("unet/diffusion_pytorch_model.safetensors"));   // 64 hexadecimal digits
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "sspo/io/file.hpp"

namespace sspo::io {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void add(std::string_view bytes);
  void add(const File& file);  // all of it, a piece at a time
  std::string hex();           // of all that was added; call it once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

inline std::string sha256_hex(std::string_view bytes) { Sha256 h; h.add(bytes); return h.hex(); }
inline std::string sha256_hex(const File& file) { Sha256 h; h.add(file); return h.hex(); }

}  // namespace sspo::io
