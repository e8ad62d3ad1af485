// metadata.jsonl: a JSON object a line, a sample each.
#include <algorithm>
#include <array>

#include "io/dataset.hpp"
#include "io/json.hpp"
#include "io/text.hpp"

namespace sspo::io {
namespace {

constexpr std::size_t field_memory = sizeof(std::string) * 2 + 48;

bool is_own(std::string_view name) {
  constexpr std::array<std::string_view, 5> own = {"file_name", "winner_file_name", "loser_file_name", "text", "keywords"};
  return std::find(own.begin(), own.end(), name) != own.end();
}

std::string file_of(Fields& fields, const std::string& name, const Place& place) {
  std::string file = fields.text(name);
  check_plain_name(file, place.in(name));
  return file;
}

std::string picture_of(Fields& fields, const Place& place) {
  const bool plain = fields.has("file_name"), winner = fields.has("winner_file_name");
  if (plain && winner) fields.wrong("winner_file_name", "stands beside file_name", "one of the two");
  return file_of(fields, winner ? "winner_file_name" : "file_name", place);
}

// Everything a Row has no member for.
std::map<std::string, std::string> other_fields(const Json& object, bool captioned, Fields& fields) {
  std::map<std::string, std::string> others;
  for (const auto& [name, value] : object.items()) {
    if (is_own(name) || (captioned && name == "caption") || value.is_null()) continue;
    const bool text = value.is_string();
    if (!text && (name == "style" || name == "split" || name == "name")) fields.text(name);  // throws
    others.emplace(name, text ? value.get<std::string>() : value.dump());
  }
  return others;
}

std::size_t memory_of(const Row& s) {
  std::size_t bytes = sizeof(Row) + s.picture.size() + s.loser.size() + s.text.size();
  for (const std::string& word : s.keywords) bytes += sizeof word + word.size();
  for (const auto& [name, value] : s.fields) bytes += field_memory + name.size() + value.size();
  return bytes;
}

}  // namespace

void RowMemory::add(const Row& row, const Place& place) {
  bytes_ += memory_of(row);
  if (bytes_ > most_) bad_file(place, "the data set is too large", "samples of " + std::to_string(most_ >> 20) + " MiB in all");
}

void RowLines::add(std::string_view line, const Place& place) {
  try {
    rows.push_back(parse_row(line, place));
  } catch (const Error& error) {
    bad_.met(error);
    return;
  }
  memory_.add(rows.back(), place);
}

bool read_sample_json(std::string_view json, const Place& place, Row& row, PairLabels* labels) {
  Json object = parse_json(json, place);
  Fields all(object, place);  // throws unless it is an object
  for (int i = 0; i < 2 && labels; ++i) {
    const std::string name = "label_" + std::to_string(i);
    if (all.has(name)) labels->of[i] = all.number(name, 0, 1);
    object.erase(name);
  }
  for (const char* file : {"file_name", "winner_file_name", "loser_file_name"}) object.erase(file);  // the members are the files
  Fields fields(object, place);
  const bool text = fields.has("text"), captioned = !text && fields.has("caption");
  if (text || captioned) row.text = fields.text(text ? "text" : "caption");
  row.keywords = fields.texts("keywords", std::vector<std::string>{});
  row.fields = other_fields(object, captioned, fields);
  return text || captioned;
}

Row parse_row(std::string_view line, const Place& place) {
  const Json object = parse_json(line, place);
  Fields fields(object, place);
  Row row{.picture = picture_of(fields, place), .text = {}};
  if (fields.has("loser_file_name")) row.loser = file_of(fields, "loser_file_name", place);
  const bool captioned = !fields.has("text") && fields.has("caption");
  row.text = fields.text(captioned ? "caption" : "text");
  row.keywords = fields.texts("keywords", std::vector<std::string>{});
  row.fields = other_fields(object, captioned, fields);
  row.line = std::stoull(place.at.substr(1));
  return row;
}

std::vector<Row> parse_metadata(std::string_view bytes, const Place& place, BadSamples& bad) {
  RowLines lines(bad);
  for_each_line(bytes, place, [&](std::string_view line, const Place& at) { lines.add(line, at); });
  return std::move(lines.rows);
}

std::string metadata_line(const Row& row) {
  const auto checked = [](const std::string& text) -> const std::string& {
    if (find_bad_utf8(text) != text.npos) fail({.op = "metadata_line", .what = "not UTF-8", .got = printable(text)}, Site{});
    return text;
  };
  Json object = {{"file_name", checked(row.picture)}};
  if (!row.loser.empty()) object["loser_file_name"] = checked(row.loser);
  object["text"] = checked(row.text);
  for (const std::string& word : row.keywords) object["keywords"].push_back(checked(word));
  for (const auto& [name, value] : row.fields) {
    if (is_own(name)) fail({.op = "metadata_line", .what = "a field's name is taken", .got = name}, Site{});
    object[checked(name)] = checked(value);
  }
  return object.dump() + "\n";
}

}  // namespace sspo::io
