// ZIP archives (PKWARE's APPNOTE 6.3.10), as torch.save writes them: the directory, checked against the file; no extraction.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "sspo/io/byte_source.hpp"

namespace sspo::io {

struct ZipEntry {
  std::string name;          // plain and relative
  std::uint64_t begin, end;  // its bytes in the file, as they are stored there
  std::uint64_t size;        // once unpacked: end - begin unless deflated
  bool deflated;
};

// Names ascending. Accepted means: names are unique, entries lie in the file without overlap, each local header agrees with the
// directory. Zip64 is read; encryption, several disks and other methods than stored and deflated are refused. Checksums are not
// compared: torch can be told to leave them out, and does not compare them either.
std::vector<ZipEntry> read_zip(const ByteSource& file, const Place& place);
// The entry's content, inflated if need be; Error{file} if it is larger than `limit` or not of the size the directory says.
std::string unpack(const ByteSource& file, const ZipEntry& entry, std::uint64_t limit, const Place& place);

}  // namespace sspo::io
