#include "sspo/io/byte_source.hpp"

#include <cstring>

namespace sspo::io {

std::string ByteSource::text(std::uint64_t at, std::uint64_t bytes) const {
  std::string text(std::size_t(bytes), '\0');
  read(at, text.data(), bytes);
  return text;
}

ByteSource source_of(const File& file) {
  return {file.size(), [&file](std::uint64_t at, void* to, std::uint64_t bytes) { file.read(at, to, bytes); }};
}

ByteSource source_of(std::string_view bytes) {
  return {bytes.size(), [bytes](std::uint64_t at, void* to, std::uint64_t count) {
            if (count) std::memcpy(to, bytes.data() + at, count);
          }};
}

}  // namespace sspo::io
