// Parquet and tar: what the file says of itself. `sspo data check` reads the samples.
#include <fmt/format.h>

#include <map>

#include "cli/inspection.hpp"
#include "cli/signals.hpp"
#include "sspo/io/parquet.hpp"
#include "sspo/io/tar.hpp"

namespace sspo::cli {

Inspection inspect_parquet(const std::string& path) {
  const io::File file(path);
  const io::ParquetTable table = io::read_parquet(source_of(file), {.path = path});
  Inspection r;
  r.json = {{"kind", "parquet"}, {"path", io::printable(path, 4096)}, {"bytes", file.size()}, {"rows", table.rows}, {"row_groups", table.groups.size()},
            {"writer", io::printable(table.writer)}, {"footer_sha256", table.digest}, {"columns", io::Json::array()}};
  r.text = fmt::format("{}: Parquet, {} rows in {} row groups, {} columns, {}{}\n", io::printable(path, 4096), table.rows, table.groups.size(), table.columns.size(),
                       size_text(file.size()), table.writer.empty() ? "" : ", written by " + io::printable(table.writer));
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const io::ParquetColumn& c = table.columns[i];
    std::uint64_t bytes = 0;
    std::map<std::string, int> codecs;
    for (const io::ParquetGroup& g : table.groups) bytes += g.chunks[i].end - g.chunks[i].begin, ++codecs[std::string(name_of(g.chunks[i].codec))];
    std::string packed;
    for (const auto& [name, count] : codecs) packed += (packed.empty() ? "" : "+") + name;
    r.json["columns"].push_back({{"name", io::printable(c.name)}, {"type", name_of(c.type)}, {"nullable", c.nullable > 0}, {"repeated", c.repeated}, {"codec", packed}, {"bytes", bytes}});
    r.text += fmt::format("{:<20} {:<9} {:>12} {}{}\n", name_of(c.type), packed, bytes, io::printable(c.name), c.repeated ? ", in a list" : "");
  }
  return r;
}

Inspection inspect_tar(const std::string& path) {
  const io::File file(path);
  std::map<std::string, Index> endings;
  std::string key;
  Index samples = 0;
  const io::TarCounts counts = io::read_tar(source_of(file), {.path = path}, [&](const io::TarMember& m) {
    stop_if_interrupted();
    const std::size_t base = m.name.rfind('/') == m.name.npos ? 0 : m.name.rfind('/') + 1, dot = m.name.find('.', base);
    ++endings[dot == m.name.npos ? "" : m.name.substr(dot + 1)];
    if (endings.size() > 1000) io::bad_file({.path = path, .at = "@" + std::to_string(m.begin)}, "too many kinds of members", "at most 1000");
    const std::string now = m.name.substr(0, dot);
    samples += samples == 0 || now != key;
    key = now;
  });
  Inspection r;
  r.json = {{"kind", "tar"}, {"path", io::printable(path, 4096)}, {"bytes", file.size()}, {"files", counts.files}, {"samples", samples}, {"links", counts.links},
            {"devices", counts.devices}, {"endings", io::Json::object()}};
  r.text = fmt::format("{}: tar, {} files of {} samples, {}{}\n", io::printable(path, 4096), counts.files, samples, size_text(file.size()),
                       counts.links + counts.devices ? fmt::format(", {} links and devices passed over", counts.links + counts.devices) : "");
  for (const auto& [ending, count] : endings) {
    r.json["endings"][io::printable(ending)] = count;
    r.text += fmt::format("{:>9} {}\n", count, ending.empty() ? "without an ending" : io::printable(ending));
  }
  return r;
}

}  // namespace sspo::cli
