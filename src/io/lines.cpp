#include "io/lines.hpp"

#include <algorithm>

namespace sspo::io {
namespace {

constexpr std::size_t longest_line = 16u << 20, block = 1u << 20;

class Lines {
 public:
  Lines(const Place& place, const OnLine& on_line) : place_(place), on_line_(on_line) {}

  void add(std::string_view bytes) {
    for (std::size_t end; (end = bytes.find('\n')) != bytes.npos; bytes.remove_prefix(end + 1)) {
      if (pending_.empty()) {
        line(bytes.substr(0, end));
      } else {
        pending_.append(bytes, 0, end);
        line(pending_);
        pending_.clear();
      }
    }
    pending_.append(bytes);
    if (pending_.size() > longest_line + 8) line(pending_);  // throws, whatever is stripped off: before all of it is in memory
  }
  void finish() {
    if (!pending_.empty()) line(pending_);
  }

 private:
  void line(std::string_view line) {
    place_.at = ":" + std::to_string(++number_);
    if (number_ == 1 && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.size() > longest_line) bad_file(place_, "the line is too long", "at most 16 MiB");
    if (line.find_first_not_of(" \t\r") != line.npos) on_line_(line, place_);
  }

  Place place_;
  const OnLine& on_line_;
  std::string pending_;
  std::size_t number_ = 0;
};

}  // namespace

void for_each_line(const File& file, const OnLine& on_line) {
  const Place place{.path = file.path()};
  Lines lines(place, on_line);
  std::string read(block, '\0');
  for (std::uint64_t at = 0; at < file.size(); at += read.size()) {
    read.resize(std::size_t(std::min<std::uint64_t>(block, file.size() - at)));
    file.read(at, read.data(), read.size());
    lines.add(read);
  }
  lines.finish();
}

void for_each_line(std::string_view text, const Place& place, const OnLine& on_line) {
  Lines lines(place, on_line);
  for (; !text.empty(); text.remove_prefix(std::min(block, text.size()))) lines.add(text.substr(0, block));
  lines.finish();
}

}  // namespace sspo::io
