#include "sspo/eval/prompts.hpp"

#include <algorithm>
#include <filesystem>

#include "io/json.hpp"
#include "io/lines.hpp"
#include "io/text.hpp"
#include "sspo/io/hash.hpp"
#include "sspo/io/parquet.hpp"

namespace sspo {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view parti_head = "Prompt\tCategory\tChallenge\tNote";
constexpr std::uint64_t most_json = 8u << 20;  // whose values take many times their bytes in memory
constexpr const char* styles[] = {"anime", "concept-art", "paintings", "photo"};  // of HPSv2's benchmark, in its order

// Prompts as they come in, each checked.
class Collecting {
 public:
  Collecting(PromptSet& set, const PromptLimits& limits) : set_(set), limits_(limits) {}

  void add(std::string_view text, std::string_view category, const io::Place& place, const char* field) {
    const io::Place here = field ? place.in(field) : place;
    if (text.find_first_not_of(" \t\r\n") == text.npos) io::bad_file(here, "an empty prompt", "a text");
    check(text, here);
    check(category, place.in("category"));
    if (set_.prompts.size() == limits_.prompts) io::bad_file(place, "too many prompts", "at most " + std::to_string(limits_.prompts));
    set_.prompts.push_back({std::string(text), std::string(category), place.at.empty() ? here.field : place.at});
  }

 private:
  void check(std::string_view text, const io::Place& place) const {
    if (text.size() > limits_.text) io::bad_file(place, "the text is too long", "at most " + std::to_string(limits_.text) + " bytes", std::to_string(text.size()));
    const std::size_t bad = std::min(io::find_bad_utf8(text), text.find('\0'));
    if (bad != text.npos) io::bad_file(place, "not UTF-8, at byte " + std::to_string(bad + 1), "a text", std::string(text.substr(bad, 4)));
  }

  PromptSet& set_;
  const PromptLimits& limits_;
};

void add_parti(Collecting& to, std::string_view bytes, const io::Place& file) {
  bool head = true;
  io::for_each_line(bytes, file, [&](std::string_view line, const io::Place& place) {
    if (std::exchange(head, false)) {
      if (line != parti_head) io::bad_file(place, "the first line is not PartiPrompts'", "Prompt, Category, Challenge, Note with tabs between", io::printable(line));
      return;
    }
    const auto tabs = std::count(line.begin(), line.end(), '\t');
    if (tabs != 3) io::bad_file(place, "the line has other fields", "Prompt, Category, Challenge, Note: 3 tabs", std::to_string(tabs) + " tabs");
    const std::size_t first = line.find('\t'), second = line.find('\t', first + 1);
    to.add(line.substr(0, first), line.substr(first + 1, second - first - 1), place, "Prompt");
  });
}

// Strict JSON says where it is wrong by byte; in these lists a prompt's number says more.
void add_list(Collecting& to, std::string_view bytes, const std::string& category, const io::Place& file) {
  if (bytes.size() > most_json) io::bad_file(file, "the list is too large", "at most 8 MiB", std::to_string(bytes.size()) + " bytes");
  const io::Json list = io::parse_json(bytes, file, 4);
  if (!list.is_array()) io::bad_file(file, "no list of prompts", "[\"a prompt\", ...]", list.type_name());
  std::size_t number = 0;
  for (const io::Json& item : list) {
    io::Place place = file;
    (place.field = "[").append(std::to_string(number++)).append("]");
    if (!item.is_string()) io::bad_file(place, "no text", "a prompt in quotes", item.type_name());
    to.add(item.get_ref<const std::string&>(), category, place, nullptr);
  }
}

void add_objects(Collecting& to, std::string_view bytes, const io::Place& file) {
  io::for_each_line(bytes, file, [&](std::string_view line, const io::Place& place) {
    const io::Json object = io::parse_json(line, place, 16);
    io::Fields fields(object, place);
    const char* key = "prompt";
    for (const char* other : {"text", "caption"})
      if (!fields.has(key) && fields.has(other)) key = other;
    const io::Json* tag = fields.raw("tag");
    to.add(fields.text(key), tag && tag->is_string() ? tag->get_ref<const std::string&>() : std::string(), place, key);
  });
}

void add_lines(Collecting& to, std::string_view bytes, const io::Place& file) {
  io::for_each_line(bytes, file, [&](std::string_view line, const io::Place& place) { to.add(line, {}, place, nullptr); });
}

void add_parquet(Collecting& to, const std::string& path, const PromptLimits& limits) {
  const io::File file(path);
  const io::Place place{.path = path};
  const io::ParquetTable table = io::read_parquet(io::source_of(file), place);
  int column = -1;
  for (const char* name : {"caption", "prompt", "text"})
    if (column < 0) column = table.find(name);
  if (column < 0) io::bad_file(place.in("caption"), "there is no such column", "a column caption, prompt or text");
  const io::ParquetColumn& c = table.columns[std::size_t(column)];
  if (c.type != io::ParquetType::bytes || c.repeated) io::bad_file(place.in(c.name), "wrong type of a column", "a text for each row", std::string(io::name_of(c.type)));
  std::uint64_t row = 0, unpacked = 0;
  for (std::size_t g = 0; g < table.groups.size(); ++g) {
    io::ParquetValues values(io::source_of(file), table, column, g, place);
    for (std::uint64_t i = 0; i < table.groups[g].rows; ++i) {
      io::Place here = place;
      (here.at = ":").append(std::to_string(++row));
      const io::ParquetValue v = values.at(i);
      if (v.null) io::bad_file(here.in(c.name), "there is no prompt", "a text", "null");
      if (unpacked + values.unpacked() > limits.file) io::bad_file(place, "the prompts are too large", "pages of at most " + std::to_string(limits.file) + " bytes");
      to.add(v.bytes, {}, here, c.name.c_str());
    }
    unpacked += values.unpacked();
  }
}

std::string read_whole(const std::string& path, const PromptLimits& limits) { return io::File(path).text(limits.file); }

bool begins_parquet(const std::string& path) {
  const io::File file(path);
  char magic[4] = {};
  if (file.size() >= sizeof magic) file.read(0, magic, sizeof magic);
  return std::string_view(magic, sizeof magic) == "PAR1";
}

PromptForm form_of(std::string_view bytes, const std::string& path) {
  for (const auto& [ending, form] : {std::pair(".tsv", PromptForm::parti), {".jsonl", PromptForm::geneval}, {".json", PromptForm::hpsv2}, {".txt", PromptForm::text}})
    if (path.ends_with(ending)) return form;
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  if (bytes.starts_with(parti_head)) return PromptForm::parti;
  const std::size_t first = bytes.find_first_not_of(" \t\r\n");
  if (first != bytes.npos && bytes[first] == '{') return PromptForm::geneval;
  if (first != bytes.npos && bytes[first] == '[' && bytes.find_last_not_of(" \t\r\n") != bytes.npos && bytes[bytes.find_last_not_of(" \t\r\n")] == ']') return PromptForm::hpsv2;
  return PromptForm::text;
}

void add_bytes(Collecting& to, PromptForm form, std::string_view bytes, const io::Place& place) {
  switch (form) {
    case PromptForm::parti: return add_parti(to, bytes, place);
    case PromptForm::hpsv2: return add_list(to, bytes, {}, place);
    case PromptForm::geneval: return add_objects(to, bytes, place);
    default: return add_lines(to, bytes, place);
  }
}

void finish(PromptSet& set, const io::Place& place) {
  if (set.prompts.empty()) io::bad_file(place, "no prompt", std::string(title_of(set.form)));
  io::Sha256 hash;
  for (const Prompt& p : set.prompts) hash.add(std::to_string(p.text.size()) + ":" + p.text + std::to_string(p.category.size()) + ":" + p.category);
  set.digest = hash.hex();
}

PromptSet read_folder(const std::string& folder, const PromptLimits& limits) {
  PromptSet set;
  Collecting to(set, limits);
  std::vector<std::string> shards, missing;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (it->path().extension() == ".parquet") shards.push_back(it->path().string());
  if (error) fail({.op = io::printable(folder, 4096), .what = "cannot be listed: " + error.message(), .kind = ErrorKind::io}, Site{});
  std::sort(shards.begin(), shards.end());
  for (const char* style : styles)
    if (!fs::exists(folder + "/" + style + ".json", error)) missing.push_back(style + std::string(".json"));
  if (missing.size() == std::size(styles)) {
    set.form = PromptForm::parquet;
    for (const std::string& shard : shards) add_parquet(to, shard, limits);
    if (shards.empty()) io::bad_file({.path = folder}, "a folder without prompts", "anime.json, concept-art.json, paintings.json and photo.json, as HPSv2 has them, or *.parquet");
  } else {
    set.form = PromptForm::hpsv2;
    if (!missing.empty()) io::bad_file({.path = folder}, "a style of HPSv2's four is missing", missing.front(), "no such file", "name one of the files to take it alone");
    for (const char* style : styles) {
      const std::string path = folder + "/" + style + ".json";
      add_list(to, read_whole(path, limits), style, {.path = path});
    }
  }
  finish(set, {.path = folder});
  return set;
}

}  // namespace

std::string_view name_of(PromptForm form) {
  constexpr std::string_view names[] = {"parti", "hpsv2", "geneval", "parquet", "text"};
  return names[std::size_t(form)];
}

std::string_view title_of(PromptForm form) {
  constexpr std::string_view titles[] = {"PartiPrompts, tab separated", "a JSON list of texts, as HPSv2 has them", "an object a line with the key prompt, as GenEval has them",
                                         "Parquet with a column caption, as Pick-a-Pic has it", "a prompt a line"};
  return titles[std::size_t(form)];
}

std::vector<std::string> PromptSet::categories() const {
  std::vector<std::string> all;
  for (const Prompt& p : prompts)
    if (!p.category.empty() && std::find(all.begin(), all.end(), p.category) == all.end()) all.push_back(p.category);
  return all;
}

PromptSet parse_prompts(std::string_view bytes, const io::Place& place, const PromptLimits& limits) {
  PromptSet set{.form = form_of(bytes, place.path), .prompts = {}};
  Collecting to(set, limits);
  add_bytes(to, set.form, bytes, place);
  finish(set, place);
  return set;
}

PromptSet read_prompts(const std::string& path, const PromptLimits& limits) {
  std::error_code none;
  if (fs::is_directory(path, none)) return read_folder(path, limits);
  if (!begins_parquet(path)) return parse_prompts(read_whole(path, limits), {.path = path}, limits);
  PromptSet set{.form = PromptForm::parquet, .prompts = {}};
  Collecting to(set, limits);
  add_parquet(to, path, limits);
  finish(set, {.path = path});
  return set;
}

}  // namespace sspo
