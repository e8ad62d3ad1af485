// The ways in which pages of Parquet are packed.
#pragma once
#include "sspo/io/parquet.hpp"

namespace sspo::io {

// Error{file} if this build cannot: it names the library and the option.
void require_codec(ParquetCodec codec, const Place& place);
// Exactly `size` bytes to `to`; Error{file} if it is any other number, or damaged.
void unpack_page(ParquetCodec codec, std::string_view packed, char* to, std::uint64_t size, const Place& place);

}  // namespace sspo::io
