#include "io/zip.hpp"

#include <zlib.h>

#include <algorithm>

namespace sspo::io {
namespace {

constexpr std::uint64_t most_directory_bytes = 64u << 20, most_entries = 500'000;
constexpr std::uint32_t local_signature = 0x04034b50, central_signature = 0x02014b50, end_signature = 0x06054b50, end64_signature = 0x06064b50,
                        locator_signature = 0x07064b50;
constexpr std::size_t local_bytes = 30, central_bytes = 46, end_bytes = 22, end64_bytes = 56, locator_bytes = 20;

Place at_byte(Place place, std::uint64_t at) {
  place.at = "@" + std::to_string(at);
  return place;
}

// Little-endian numbers of a record that was checked for its length.
std::uint64_t number(std::string_view bytes, std::size_t at, std::size_t width) {
  std::uint64_t value = 0;
  for (std::size_t i = width; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}
std::uint16_t u16(std::string_view bytes, std::size_t at) { return static_cast<std::uint16_t>(number(bytes, at, 2)); }
std::uint32_t u32(std::string_view bytes, std::size_t at) { return static_cast<std::uint32_t>(number(bytes, at, 4)); }
std::uint64_t u64(std::string_view bytes, std::size_t at) { return number(bytes, at, 8); }

struct Directory {
  std::uint64_t begin, end, entries;
};

// The end record closes the file, perhaps with a comment behind it; before it stands a locator of zip64's own, where there is one.
Directory find_directory(const ByteSource& file, const Place& place) {
  const std::uint64_t tail_size = std::min<std::uint64_t>(file.size, end_bytes + 65535), tail_at = file.size - tail_size;
  const std::string tail = file.text(tail_at, tail_size);
  std::size_t at = tail.npos;
  for (std::size_t i = tail.size() >= end_bytes ? tail.size() - end_bytes + 1 : 0; i-- > 0 && at == tail.npos;)
    if (u32(tail, i) == end_signature && i + end_bytes + u16(tail, i + 20) == tail.size()) at = i;
  if (at == tail.npos) bad_file(place, "no end of a ZIP directory: the file is not whole", "a file as torch.save writes it");
  const std::string_view end = std::string_view(tail).substr(at);
  const std::uint64_t end_at = tail_at + at;
  if (u16(end, 4) || u16(end, 6) || u16(end, 8) != u16(end, 10)) bad_file(at_byte(place, end_at), "an archive on several disks", "one file");
  Directory d{u32(end, 16), 0, u16(end, 10)};
  std::uint64_t size = u32(end, 12), limit = end_at;
  if (end_at >= locator_bytes + end64_bytes) {
    const std::string locator = file.text(end_at - locator_bytes, locator_bytes);
    if (u32(locator, 0) == locator_signature) {
      limit = u64(locator, 8);
      if (limit > end_at - locator_bytes - end64_bytes) bad_file(at_byte(place, end_at - locator_bytes), "the zip64 end record leaves the file");
      const std::string end64 = file.text(limit, end64_bytes);
      if (u32(end64, 0) != end64_signature) bad_file(at_byte(place, limit), "no zip64 end record where its locator says");
      d.entries = u64(end64, 32), size = u64(end64, 40), d.begin = u64(end64, 48);
    }
  }
  if (d.begin > limit || size > limit - d.begin)
    bad_file(at_byte(place, end_at), "the directory leaves the file", "an end before byte " + std::to_string(limit), std::to_string(size) + " bytes at " + std::to_string(d.begin));
  if (size > most_directory_bytes) bad_file(at_byte(place, d.begin), "the directory is too large", "at most " + std::to_string(most_directory_bytes) + " bytes", std::to_string(size));
  if (d.entries > most_entries || d.entries > size / central_bytes) bad_file(at_byte(place, end_at), "too many entries for the directory", {}, std::to_string(d.entries));
  d.end = d.begin + size;
  return d;
}

// Sizes and offset that do not fit 32 bits stand in the extra field 1, in this order, those alone that are all ones.
void read_zip64(std::string_view extra, std::initializer_list<std::uint64_t*> fields, const Place& place) {
  std::string_view wide;
  while (extra.size() >= 4) {
    const std::size_t length = u16(extra, 2);
    if (length > extra.size() - 4) bad_file(place, "an extra field leaves its record");
    if (u16(extra, 0) == 1) wide = extra.substr(4, length);
    extra.remove_prefix(4 + length);
  }
  for (std::uint64_t* field : fields) {
    if (*field != 0xffffffffu) continue;
    if (wide.size() < 8) bad_file(place, "a zip64 field is missing");
    *field = u64(wide, 0);
    wide.remove_prefix(8);
  }
}

// Where the entry's bytes begin: behind its local header, whose name and method must be the directory's.
void read_local(const ByteSource& file, ZipEntry& entry, std::uint64_t header, std::uint16_t method, std::uint64_t limit, const Place& place) {
  const Place here = at_byte(place, header);
  if (header > limit || limit - header < local_bytes + entry.name.size()) bad_file(here, "an entry leaves the file", {}, "\"" + printable(entry.name) + "\"");
  const std::string local = file.text(header, local_bytes + entry.name.size());
  if (u32(local, 0) != local_signature || u16(local, 8) != method || u16(local, 26) != entry.name.size() || local.substr(local_bytes) != entry.name)
    bad_file(here, "the entry's own header is not the directory's", "\"" + printable(entry.name) + "\"");
  const std::uint64_t bytes = entry.end;  // so far its length
  entry.begin = header + local.size() + u16(local, 28);
  if (entry.begin > limit || bytes > limit - entry.begin)
    bad_file(here, "the entry leaves the file", "at most " + std::to_string(limit) + " bytes", printable(entry.name) + ", " + std::to_string(bytes) + " bytes at " + std::to_string(entry.begin));
  entry.end = entry.begin + bytes;
}

}  // namespace

std::vector<ZipEntry> read_zip(const ByteSource& file, const Place& place) {
  const Directory d = find_directory(file, place);
  const std::string all = file.text(d.begin, d.end - d.begin);
  std::string_view rest = all;
  std::vector<ZipEntry> entries;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;  // headers and bytes
  for (std::uint64_t i = 0; i < d.entries; ++i) {
    const Place here = at_byte(place, d.end - rest.size());
    if (rest.size() < central_bytes || u32(rest, 0) != central_signature) bad_file(here, "no record of an entry here", std::to_string(d.entries) + " of them", std::to_string(i));
    const std::uint16_t flags = u16(rest, 8), method = u16(rest, 10);
    const std::size_t name = u16(rest, 28), extra = u16(rest, 30), comment = u16(rest, 32);
    if (name + extra + comment > rest.size() - central_bytes) bad_file(here, "an entry's record leaves the directory");
    ZipEntry entry{std::string(rest.substr(central_bytes, name)), 0, u32(rest, 20), u32(rest, 24), method == 8};
    std::uint64_t header = u32(rest, 42);
    check_plain_name(entry.name, here);
    if (flags & 1) bad_file(here, "an encrypted entry", "none", "\"" + entry.name + "\"");
    if (method != 0 && method != 8) bad_file(here, "an unsupported way of packing", "stored or deflated", std::to_string(method) + " of \"" + entry.name + "\"");
    read_zip64(rest.substr(central_bytes + name, extra), {&entry.size, &entry.end, &header}, here);
    if (method == 0 && entry.size != entry.end) bad_file(here, "a stored entry of two sizes", std::to_string(entry.end), std::to_string(entry.size));
    read_local(file, entry, header, method, d.begin, place);
    ranges.emplace_back(header, entry.end);
    entries.push_back(std::move(entry));
    rest.remove_prefix(central_bytes + name + extra + comment);
  }
  std::sort(ranges.begin(), ranges.end());
  for (std::size_t i = 1; i < ranges.size(); ++i)
    if (ranges[i].first < ranges[i - 1].second) bad_file(at_byte(place, ranges[i].first), "an entry overlaps the one before it");
  std::sort(entries.begin(), entries.end(), [](const ZipEntry& a, const ZipEntry& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(entries.begin(), entries.end(), [](const ZipEntry& a, const ZipEntry& b) { return a.name == b.name; });
  if (twice != entries.end()) bad_file(at_byte(place, twice->begin), "two entries of one name", {}, "\"" + twice->name + "\"");
  return entries;
}

std::string unpack(const ByteSource& file, const ZipEntry& entry, std::uint64_t limit, const Place& place) {
  const Place here = at_byte(place, entry.begin);
  if (entry.size > limit || entry.end - entry.begin > limit)
    bad_file(here, "the entry " + entry.name + " is too large", "at most " + std::to_string(limit) + " bytes", std::to_string(entry.size));
  std::string stored = file.text(entry.begin, entry.end - entry.begin);
  if (!entry.deflated) return stored;
  std::string out(std::size_t(entry.size) + 1, '\0');  // one more: inflate must not reach it
  z_stream z{};
  if (inflateInit2(&z, -MAX_WBITS) != Z_OK) fail({.op = "zip", .what = "zlib cannot start", .kind = ErrorKind::memory}, Site{});
  z.next_in = reinterpret_cast<Bytef*>(stored.data()), z.avail_in = static_cast<uInt>(stored.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data()), z.avail_out = static_cast<uInt>(out.size());
  const int status = inflate(&z, Z_FINISH);
  inflateEnd(&z);
  if (status != Z_STREAM_END || z.avail_out != 1 || z.avail_in)
    bad_file(here, "the packed entry " + entry.name + " is damaged", std::to_string(entry.size) + " bytes", std::to_string(z.total_out));
  out.pop_back();
  return out;
}

}  // namespace sspo::io
