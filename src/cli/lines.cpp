#include "cli/lines.hpp"

#include "io/json.hpp"

namespace sspo::cli {
namespace {

constexpr std::uint64_t most_text = 256u << 20;

std::string text_of(std::string_view line, const io::Place& place) {
  const io::Json object = io::parse_json(line, place);
  io::Fields fields(object, place);
  return fields.text(!fields.has("text") && fields.has("caption") ? "caption" : "text");
}

}  // namespace

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
