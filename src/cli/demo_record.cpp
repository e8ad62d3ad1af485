#include "cli/demo_record.hpp"

#include <algorithm>
#include <filesystem>

namespace sspo::cli {
namespace {

namespace fs = std::filesystem;
constexpr int demo_format = 1;

}  // namespace

void require_demo_or_nothing(const std::string& folder) {
  std::error_code error;
  if (!fs::exists(folder, error) || fs::exists(folder + "/demo.json", error)) return;
  bool empty = fs::is_directory(folder, error);
  for (fs::directory_iterator it(folder, error), end; empty && !error && it != end; it.increment(error)) empty = it->path().filename() == "lock";
  if (!empty) fail({.op = io::printable(folder, 4096), .what = "has content that is no demo", .hint = "choose another --out"}, Site{});
}

DemoRecord::DemoRecord(std::string folder, const io::Json& options) : path_(folder + "/demo.json") {
  std::error_code error;
  if (fs::exists(path_, error)) {
    json_ = io::parse_json(io::File(path_).text(16u << 20), {.path = path_});
    if (!json_.is_object() || json_.value("format", 0) != demo_format || !json_.contains("options") || !json_.contains("stages"))
      io::bad_file({.path = path_}, "is no demo of this version", {}, {}, "choose another --out, or remove the folder");
    if (json_["options"] != options)
      fail({.op = io::printable(folder, 4096), .what = "holds a demo of other options", .expected = options.dump(), .got = json_["options"].dump(),
            .hint = "give those, or choose another --out"}, Site{});
    return;
  }
  json_ = {{"format", demo_format}, {"options", options}, {"stages", io::Json::array()}};
  write();
}

io::Json* DemoRecord::find(const std::string& stage) {
  for (io::Json& s : json_["stages"])
    if (s.at("name") == stage) return &s;
  return nullptr;
}

bool DemoRecord::done(const std::string& stage) const {
  const io::Json* const s = const_cast<DemoRecord*>(this)->find(stage);
  return s && s->at("done").get<bool>();
}

void DemoRecord::spent(const std::string& stage, double seconds, std::size_t peak_bytes, bool done) {
  io::Json* s = find(stage);
  if (!s) s = &json_["stages"].emplace_back(io::Json{{"name", stage}, {"seconds", 0.0}, {"peak_bytes", 0}, {"done", false}});
  (*s)["seconds"] = s->at("seconds").get<double>() + seconds;
  (*s)["peak_bytes"] = std::max(s->at("peak_bytes").get<std::size_t>(), peak_bytes);
  (*s)["done"] = done;
  write();
}

void DemoRecord::set(const char* key, const io::Json& value) {
  if (json_.contains(key) && json_[key] == value) return;
  json_[key] = value;
  write();
}

void DemoRecord::write() const { io::write_file(path_, json_.dump(2) + "\n"); }

}  // namespace sspo::cli
