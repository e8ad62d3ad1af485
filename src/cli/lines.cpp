#include "cli/lines.hpp"

#include <algorithm>

#include "io/json.hpp"

namespace sspo::cli {
namespace {

constexpr std::size_t longest_line = 16u << 20, block = 1u << 20;
constexpr std::uint64_t most_text = 256u << 20;

std::string text_of(std::string_view line, const io::Place& place) {
  const io::Json object = io::parse_json(line, place);
  io::Fields fields(object, place);
  return fields.text(!fields.has("text") && fields.has("caption") ? "caption" : "text");
}

}  // namespace

void for_each_line(const io::File& file, const std::function<void(std::string_view, const io::Place&)>& on_line) {
  std::string pending, read(block, '\0');
  std::size_t number = 0;
  const auto finish = [&](std::string_view line) {
    const io::Place place{.path = file.path(), .at = ":" + std::to_string(++number)};
    if (number == 1 && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.size() > longest_line) io::bad_file(place, "the line is too long", "at most 16 MiB");
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) on_line(line, place);
  };
  for (std::uint64_t at = 0; at < file.size(); at += read.size()) {
    read.resize(std::size_t(std::min<std::uint64_t>(block, file.size() - at)));
    file.read(at, read.data(), read.size());
    std::size_t from = 0;
    for (std::size_t end; (end = read.find('\n', from)) != std::string::npos; from = end + 1) {
      pending.append(read, from, end - from);
      finish(pending);
      pending.clear();
    }
    pending.append(read, from);
    if (pending.size() > longest_line) finish(pending);  // throws
  }
  if (!pending.empty()) finish(pending);
}

std::vector<std::string> read_texts(const std::string& path) {
  const io::File file(path);
  if (file.size() > most_text) io::bad_file({.path = path}, "the file is too large", "at most 256 MiB", std::to_string(file.size()) + " bytes");
  const bool json = path.ends_with(".jsonl");
  std::vector<std::string> texts;
  for_each_line(file, [&](std::string_view line, const io::Place& place) { texts.push_back(json ? text_of(line, place) : std::string(line)); });
  if (texts.empty()) io::bad_file({.path = path}, "no text", json ? "an object a line, key \"text\" or \"caption\"" : "a text a line");
  return texts;
}

}  // namespace sspo::cli
