#include "cli/emoji/names.hpp"

#include <algorithm>
#include <map>
#include <pugixml.hpp>

#include "io/text.hpp"
#include "sspo/io/file.hpp"

namespace sspo::cli::emoji {
namespace {

constexpr std::uint64_t most_bytes = 64u << 20;

std::u32string code_points(std::string_view utf8, const io::Place& place) {
  std::u32string all;
  for (std::size_t i = 0; i < utf8.size();) {
    const std::size_t length = io::utf8_sequence(utf8, i);
    if (length == 0) io::bad_file(place, "not UTF-8");
    const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(utf8[i + k]); };
    char32_t c = length == 1 ? byte(0) : byte(0) & (0x7f >> length);
    for (std::size_t k = 1; k < length; ++k) c = c << 6 | (byte(k) & 0x3f);
    all += c;
    i += length;
  }
  return all;
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
  return text;
}

std::vector<std::string> split_keywords(std::string_view text) {
  constexpr std::string_view between = " | ";
  std::vector<std::string> words;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(between, at), text.size());
    words.push_back(lower(std::string(text.substr(at, end - at))));
    at = end + between.size();
  }
  return words;
}

// Names that say more than a small picture shows.
bool is_left_out(const std::u32string& code, std::string_view name) {
  const bool toned = std::any_of(code.begin(), code.end(), [](char32_t c) { return c >= 0x1f3fb && c <= 0x1f3ff; });
  return toned || name.starts_with("flag: ") || name.starts_with("keycap: ");
}

// <annotation cp="X">keyword | keyword</annotation> <annotation cp="X" type="tts">name</annotation>
void read_annotations(const std::string& path, std::vector<Name>& names) {
  const std::string text = io::File(path).text(most_bytes);
  pugi::xml_document document;
  const pugi::xml_parse_result result = document.load_buffer(text.data(), text.size());
  if (!result) io::bad_file({.path = path, .at = "@" + std::to_string(result.offset)}, "not XML");
  const pugi::xml_node annotations = document.child("ldml").child("annotations");
  if (!annotations) io::bad_file({.path = path}, "no annotations", "CLDR's <ldml><annotations>");
  std::map<std::string, std::vector<std::string>> keywords;
  for (const pugi::xml_node node : annotations.children("annotation")) {
    const std::string code = node.attribute("cp").value(), value = node.text().get();
    if (std::string_view(node.attribute("type").value()) != "tts") {
      keywords[code] = split_keywords(value);
      continue;
    }
    const io::Place place{.path = path, .at = "@" + std::to_string(node.offset_debug()), .field = value};
    std::u32string points = code_points(code, place);
    if (!is_left_out(points, value)) names.push_back({std::move(points), lower(value), keywords[code], false});
  }
}

// The theme is two runs of the list.
void mark_theme(std::vector<Name>& names, const std::string& path) {
  for (const auto& [first, last] : {std::pair{"grinning face", "collision"}, {"monkey face", "fork and knife"}}) {
    const auto find = [&](const char* text) {
      const auto it = std::find_if(names.begin(), names.end(), [&](const Name& n) { return n.text == text; });
      if (it == names.end()) io::bad_file({.path = path, .field = text}, "this name is missing");
      return it;
    };
    const auto from = find(first), to = find(last);
    for (auto it = from; it <= to; ++it) it->theme = true;
  }
}

}  // namespace

std::vector<Name> read_names(const std::string& folder) {
  const std::string path = folder + "/annotations/en.xml";
  std::vector<Name> names;
  read_annotations(path, names);
  mark_theme(names, path);
  read_annotations(folder + "/annotationsDerived/en.xml", names);
  return names;
}

}  // namespace sspo::cli::emoji
