#include "io/page_codec.hpp"

#include <zlib.h>
#ifdef SSPO_SNAPPY
#include <snappy-c.h>
#endif
#ifdef SSPO_ZSTD
#include <zstd.h>
#endif

#include <cstring>

namespace sspo::io {
namespace {

constexpr bool with_snappy =
#ifdef SSPO_SNAPPY
    true;
#else
    false;
#endif
constexpr bool with_zstd =
#ifdef SSPO_ZSTD
    true;
#else
    false;
#endif

[[noreturn]] void damaged(ParquetCodec codec, std::uint64_t size, const Place& place) {
  bad_file(place, "a page does not unpack to what its header says", std::to_string(size) + " bytes, by " + std::string(name_of(codec)));
}

bool inflate_all(std::string_view packed, char* to, std::uint64_t size) {
  z_stream z{};
  if (inflateInit2(&z, MAX_WBITS + 32) != Z_OK) fail({.op = "parquet", .what = "zlib cannot start", .kind = ErrorKind::memory}, Site{});
  char beyond;  // zlib wants a place even for nothing
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data())), z.avail_in = static_cast<uInt>(packed.size());
  z.next_out = reinterpret_cast<Bytef*>(size ? to : &beyond), z.avail_out = static_cast<uInt>(size);
  const int status = inflate(&z, Z_FINISH);
  inflateEnd(&z);
  return status == Z_STREAM_END && z.avail_out == 0 && z.avail_in == 0;
}

bool unsnap([[maybe_unused]] std::string_view packed, [[maybe_unused]] char* to, [[maybe_unused]] std::uint64_t size) {
#ifdef SSPO_SNAPPY
  std::size_t length = 0;
  return snappy_uncompressed_length(packed.data(), packed.size(), &length) == SNAPPY_OK && length == size &&
         snappy_uncompress(packed.data(), packed.size(), to, &length) == SNAPPY_OK && length == size;
#else
  return false;
#endif
}

bool unzstd([[maybe_unused]] std::string_view packed, [[maybe_unused]] char* to, [[maybe_unused]] std::uint64_t size) {
#ifdef SSPO_ZSTD
  return ZSTD_decompress(to, std::size_t(size), packed.data(), packed.size()) == size;  // errors are numbers beyond any size
#else
  return false;
#endif
}

}  // namespace

void require_codec(ParquetCodec codec, const Place& place) {
  const auto missing = [&](const char* library, const char* option) {
    bad_file(place, "pages packed by " + std::string(name_of(codec)) + ", which this sspo was built without", {}, {},
             std::string("install ") + library + " and configure with -D" + option + "=ON");
  };
  switch (codec) {
    case ParquetCodec::none:
    case ParquetCodec::gzip: return;
    case ParquetCodec::snappy: return with_snappy ? void() : missing("libsnappy-dev", "SSPO_SNAPPY");
    case ParquetCodec::zstd: return with_zstd ? void() : missing("libzstd-dev", "SSPO_ZSTD");
    default: bad_file(place, "unsupported codec of pages", "none, snappy, gzip or zstd", std::string(name_of(codec)));
  }
}

void unpack_page(ParquetCodec codec, std::string_view packed, char* to, std::uint64_t size, const Place& place) {
  bool whole = false;
  switch (codec) {
    case ParquetCodec::none:
      whole = packed.size() == size;
      if (whole && size) std::memcpy(to, packed.data(), size);
      break;
    case ParquetCodec::gzip: whole = inflate_all(packed, to, size); break;
    case ParquetCodec::snappy: whole = unsnap(packed, to, size); break;
    case ParquetCodec::zstd: whole = unzstd(packed, to, size); break;
    default: require_codec(codec, place);
  }
  if (!whole) damaged(codec, size, place);
}

}  // namespace sspo::io
