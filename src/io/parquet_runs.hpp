// Parquet's hybrid of runs and packed bits (parquet-format's Encodings.md, RLE = 3): levels, indices into dictionaries, booleans.
#pragma once
#include "sspo/io/file.hpp"

namespace sspo::io {

class Runs {
 public:
  Runs() = default;
  Runs(std::string_view bytes, unsigned width) : bytes_(bytes), width_(width) {}  // bits a value, at most 32

  // false: there is none left.
  bool next(std::uint32_t& value) {
    while (left_ == 0)
      if (!next_run()) return false;
    --left_;
    if (!packed_) {
      value = repeated_;
      return true;
    }
    if (bit_ + width_ > 8 * packed_bytes_.size()) return false;
    std::uint64_t v = 0;
    const std::size_t first = bit_ / 8, last = (bit_ + width_ + 7) / 8;
    for (std::size_t i = last; i-- > first;) v = v << 8 | static_cast<unsigned char>(packed_bytes_[i]);
    value = std::uint32_t(v >> bit_ % 8 & ((std::uint64_t(1) << width_) - 1));
    bit_ += width_;
    return true;
  }

 private:
  // A length, then a value, or so many groups of eight values packed in `width_` bytes each.
  bool next_run() {
    std::uint64_t header = 0;
    for (unsigned shift = 0;; shift += 7) {
      if (bytes_.empty() || shift > 28) return false;
      const auto b = static_cast<unsigned char>(bytes_[0]);
      bytes_.remove_prefix(1);
      header |= std::uint64_t(b & 0x7f) << shift;
      if (b < 0x80) break;
    }
    packed_ = header & 1;
    if (packed_) {
      left_ = (header >> 1) * 8, bit_ = 0;
      packed_bytes_ = bytes_.substr(0, (header >> 1) * width_);
      bytes_.remove_prefix(packed_bytes_.size());
      return true;
    }
    const std::size_t width = (width_ + 7) / 8;
    if (bytes_.size() < width) return false;
    left_ = header >> 1, repeated_ = 0;
    for (std::size_t i = width; i-- > 0;) repeated_ = repeated_ << 8 | static_cast<unsigned char>(bytes_[i]);
    bytes_.remove_prefix(width);
    return true;
  }

  std::string_view bytes_{}, packed_bytes_{};
  unsigned width_ = 0;
  bool packed_ = false;
  std::uint64_t left_ = 0, bit_ = 0;
  std::uint32_t repeated_ = 0;
};

}  // namespace sspo::io
