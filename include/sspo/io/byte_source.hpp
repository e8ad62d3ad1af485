// What a parser reads from: a file, or bytes in memory.
//   const File file("train.parquet");
//   const Parquet table = read_parquet(source_of(file), {.path = file.path()});
#pragma once
#include "sspo/base/function.hpp"
#include "sspo/io/file.hpp"

namespace sspo::io {

// read() gives all bytes or throws; it is asked for none outside `size`.
struct ByteSource {
  std::uint64_t size;
  Function<void(std::uint64_t at, void* to, std::uint64_t bytes)> read;
  std::string text(std::uint64_t at, std::uint64_t bytes) const;
};
ByteSource source_of(const File& file);       // which must outlive it
ByteSource source_of(std::string_view bytes);  // likewise

}  // namespace sspo::io
