#include "io/dataset.hpp"

#include <algorithm>
#include <filesystem>

#include "io/text.hpp"
#include "sspo/io/tar.hpp"

namespace sspo::io {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view picture_endings[] = {".png", ".jpg", ".jpeg", ".webp"};

[[noreturn]] void io_error(const std::string& path, const std::error_code& error) {
  fail({.op = printable(path, 4096), .what = error.message(), .kind = ErrorKind::io}, Site{});
}

// Names of the folder's files by what they end in, case ignored; hidden ones left out.
std::vector<std::string> files_in(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code gone;
    if (it->is_regular_file(gone) && !it->path().filename().string().starts_with('.')) names.push_back(it->path().filename().string());
  }
  if (error) io_error(folder, error);
  std::sort(names.begin(), names.end());
  return names;
}

struct Name {
  std::string stem, ending;  // "cat", ".png" in lower case
};
Name split_name(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  if (dot == name.npos) return {name, {}};
  std::string ending = name.substr(dot);
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
  return {name.substr(0, dot), std::move(ending)};
}
bool is_picture(const Name& name) { return std::find(std::begin(picture_endings), std::end(picture_endings), name.ending) != std::end(picture_endings); }

// Pictures of the folder and the captions beside them; a caption belongs to one picture.
std::vector<Row> pairs_in(const std::string& folder, BadSamples& bad) {
  std::map<std::string, std::string> pictures;  // stem to name
  std::map<std::string, std::string> captions;
  std::vector<Row> rows;
  const auto attempt = [&bad](const auto& work) {
    try {
      work();
    } catch (const Error& error) {
      bad.met(error);
    }
  };
  for (const std::string& name : files_in(folder)) {
    const Name parts = split_name(name);
    if (parts.ending == ".txt") captions[parts.stem] = name;
    if (!is_picture(parts)) continue;
    attempt([&] {
      const auto [it, fresh] = pictures.emplace(parts.stem, name);
      if (!fresh) bad_file({.path = folder + "/" + name}, "two pictures of one name", "one for the caption " + parts.stem + ".txt", it->second + ", too");
    });
  }
  for (const auto& [stem, name] : pictures)
    attempt([&, &stem = stem, &name = name] {
      const auto caption = captions.find(stem);
      if (caption == captions.end()) bad_file({.path = folder + "/" + name}, "has no caption", "a file " + stem + ".txt beside it");
      rows.push_back({.picture = name, .text = caption_text(File(folder + "/" + caption->second).text(longest_caption), {.path = folder + "/" + caption->second})});
    });
  for (const auto& [stem, name] : captions)
    if (!pictures.count(stem)) attempt([&, &stem = stem, &name = name] { bad_file({.path = folder + "/" + name}, "a caption without a picture", stem + ".png or .jpg beside it"); });
  return rows;
}

Dataset listed(const std::string& folder, const std::string& metadata, BadSamples& bad) {
  RowLines lines(bad);
  for_each_line(File(metadata), [&](std::string_view line, const Place& place) { lines.add(line, place); });
  if (lines.rows.empty() && bad.count() == 0) bad_file({.path = metadata}, "no sample", "an object a line: {\"file_name\": \"cat.png\", \"text\": \"a cat\"}", "an empty file");
  return {.folder = folder, .metadata = metadata, .rows = std::move(lines.rows)};
}

// The part of the wanted proportions in the centre: cutting first bounds the work, whatever the picture's own are.
Image fitted(Image image, const PictureOptions& o) {
  if (o.width == 0 && o.height == 0) return image;
  if (o.width < 1 || o.height < 1) fail({.op = "read_picture", .what = "no such size", .expected = "width and height, at least one pixel"}, Site{});
  const Index width = std::clamp(image.height * o.width / o.height, Index(1), image.width), height = std::clamp(image.width * o.height / o.width, Index(1), image.height);
  if (width != image.width || height != image.height) image = centre_crop(image, width, height);
  return resize(image, o.width, o.height, o.filter);
}

// "named in PATH:12" joins what is wrong with a picture that a line names.
template <class F>
auto with_line(const Dataset& data, const Row& row, F read) {
  try {
    return read();
  } catch (const Error& e) {
    if (e.info().kind != ErrorKind::file || data.stored || !row.line) throw;
    ErrorInfo info = e.info();
    info.hint += (info.hint.empty() ? "named in " : "; named in ") + printable(data.metadata + ":" + std::to_string(row.line), 4096);
    fail(std::move(info), Site{});
  }
}

// Files of a folder by their ending: what kind of shards, if any.
std::vector<std::string> shards_in(const std::string& folder, std::string_view ending) {
  std::vector<std::string> shards;
  for (const std::string& name : files_in(folder))
    if (split_name(name).ending == ending) shards.push_back(folder + "/" + name);
  return shards;
}

Dataset with_samples(Dataset data, const std::string& path, const BadSamples& bad) {
  if (data.rows.empty() && bad.count() == 0)
    bad_file({.path = path}, "no sample", "one or more", data.ties ? std::to_string(data.ties) + " pairs that nobody won" : "none");
  return data;
}

}  // namespace

std::string_view Row::field(std::string_view name) const {
  const auto it = fields.find(std::string(name));
  return it == fields.end() ? std::string_view() : it->second;
}

void BadSamples::met(const Error& error) {
  if (error.info().kind != ErrorKind::file) throw error;
  if (count_ >= skip_) {
    if (skip_ == 0) throw error;
    ErrorInfo info = error.info();
    info.hint += (info.hint.empty() ? "" : "; ") + std::to_string(count_) + " bad samples were skipped before, no more may be";
    fail(std::move(info), Site{});
  }
  ++count_;
  if (report_) report_(error);
}

std::string caption_text(std::string text, const Place& place) {
  const std::size_t bad = std::min(find_bad_utf8(text), text.find('\0'));
  if (bad != text.npos) {
    Place here = place;
    if (here.at.empty()) here.at = "@" + std::to_string(bad);
    bad_file(here, "not UTF-8", "a caption", text.substr(bad, 4));
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  for (char& c : text)
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  const std::size_t first = text.find_first_not_of(' ');
  return first == text.npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

Dataset open_dataset(const std::string& path, BadSamples& bad) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    const std::string parent = fs::path(path).parent_path().string(), folder = parent.empty() ? "." : parent;
    if (path.ends_with(".jsonl") || !fs::exists(path, error)) return listed(folder, path, bad);
    const File file(path);
    const std::string first = source_of(file).text(0, std::min<std::uint64_t>(file.size(), 512));
    if (first.starts_with("PAR1") || path.ends_with(".parquet")) return with_samples(open_parquet(folder, {path}, bad), path, bad);
    if (looks_like_tar(first) || path.ends_with(".tar")) return with_samples(open_tars(folder, {path}, bad), path, bad);
    bad_file({.path = path}, "is no data set", "a folder with metadata.jsonl or with pictures and captions (cat.png, cat.txt), a .jsonl file, Parquet, or a tar");
  }
  const std::string metadata = path + "/metadata.jsonl";
  if (fs::exists(metadata, error)) return listed(path, metadata, bad);
  const std::vector<std::string> tables = shards_in(path, ".parquet"), tars = shards_in(path, ".tar");
  if (!tables.empty() && !tars.empty()) bad_file({.path = path}, "Parquet and tars in one folder", "shards of one kind");
  if (!tables.empty()) return with_samples(open_parquet(path, tables, bad), path, bad);
  if (!tars.empty()) return with_samples(open_tars(path, tars, bad), path, bad);
  std::vector<Row> rows = pairs_in(path, bad);
  if (rows.empty() && bad.count() == 0) bad_file({.path = path}, "no data set is here", "metadata.jsonl, or pictures and captions: cat.png, cat.txt; *.parquet; *.tar");
  return {.folder = path, .metadata = {}, .rows = std::move(rows)};
}

Dataset open_dataset(const std::string& path) {
  BadSamples none;
  return open_dataset(path, none);
}

Place picture_place(const Dataset& data, const Row& row, bool loser) {
  if (data.where) return data.where(row, loser);
  return {.path = data.folder + "/" + (loser ? row.loser : row.picture)};
}

std::string picture_bytes(const Dataset& data, const Row& row, bool loser) {
  if (loser && row.loser.empty()) fail({.op = "read_loser", .what = "the sample is no preference pair", .got = printable(row.picture)}, Site{});
  if (data.stored) return data.stored(row, loser);
  const std::string path = picture_place(data, row, loser).path;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_directory(status) || status.type() == fs::file_type::not_found || error == std::errc::filename_too_long) {
    if (row.line)
      bad_file({.path = data.metadata, .at = ":" + std::to_string(row.line), .field = loser ? "loser_file_name" : "file_name"}, "there is no such picture", "a file in " + data.folder,
               "\"" + (loser ? row.loser : row.picture) + "\"");
    bad_file({.path = path}, "the picture is gone");
  }
  return with_line(data, row, [&] { return File(path).text(most_picture_bytes); });
}

Image read_picture(const Dataset& data, const Row& row, const PictureOptions& options) {
  const std::string bytes = picture_bytes(data, row);
  return with_line(data, row, [&] { return fitted(decode_image(bytes, picture_place(data, row), options.limits), options); });
}
Image read_loser(const Dataset& data, const Row& row, const PictureOptions& options) {
  const std::string bytes = picture_bytes(data, row, true);
  return with_line(data, row, [&] { return fitted(decode_image(bytes, picture_place(data, row, true), options.limits), options); });
}

}  // namespace sspo::io
