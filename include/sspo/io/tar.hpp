// Tar archives (POSIX.1-2001 pax, ustar, GNU, v7): listed in one pass, nothing is extracted (promise S4); and written.
//   const File file("shard-000000.tar");
//   read_tar(source_of(file), {.path = file.path()}, [&](const TarMember& m) { print(m.name, source_of(file).text(m.begin, m.size)); });
#pragma once
#include <string>
#include <string_view>

#include "sspo/base/config.hpp"
#include "sspo/io/byte_source.hpp"

namespace sspo::io {

struct TarMember {
  std::string name;           // plain and relative; "./" before it is dropped
  std::uint64_t begin, size;  // its bytes in the file
};
struct TarCounts {
  Index files = 0;
  Index links = 0, devices = 0;  // passed over; devices: pipes and sockets, too. Folders are not counted
};

bool looks_like_tar(std::string_view first);  // the first 512 bytes of a file
// Every regular file, in order. Error{file}: a checksum is wrong, a member leaves the file, a name is not plain or longer than
// 64 KiB, sparse files, no end of the archive (the file is cut short), a second archive behind the first.
TarCounts read_tar(const ByteSource& file, const Place& place, const Function<void(const TarMember&)>& on_member);

// Headers as ustar; a pax record before those whose names are longer than 100 bytes. No owner, no time: the same members are
// the same bytes.
std::string tar_member(std::string_view name, std::string_view content);
std::string tar_end();

}  // namespace sspo::io
