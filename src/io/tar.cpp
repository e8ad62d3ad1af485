#include "sspo/io/tar.hpp"

#include <algorithm>
#include <cstring>

namespace sspo::io {
namespace {

constexpr std::uint64_t block = 512, longest_name = 64u << 10, longest_pax = 2 * longest_name, looked_beyond = 1u << 20;

Place at_byte(const Place& place, std::uint64_t at) {
  Place here = place;
  here.at = "@" + std::to_string(at);
  return here;
}

std::uint64_t padded(std::uint64_t size) { return (size + block - 1) / block * block; }
std::string_view text_of(std::string_view field) { return field.substr(0, std::min(field.find('\0'), field.size())); }

// Octal digits, or GNU's base 256 where the first bit is set. false: neither.
bool number_of(std::string_view field, std::uint64_t& value) {
  value = 0;
  if (static_cast<unsigned char>(field[0]) == 0x80) {
    for (const char c : field.substr(1)) {
      if (value >> 56) return false;
      value = value << 8 | static_cast<unsigned char>(c);
    }
    return true;
  }
  std::size_t at = std::min(field.find_first_not_of(' '), field.size());
  const std::size_t first = at;
  for (; at < field.size() && field[at] >= '0' && field[at] <= '7'; ++at) value = value << 3 | std::uint64_t(field[at] - '0');
  return at - first <= 21 && field.find_first_not_of(std::string_view(" \0", 2), at) == field.npos;
}

// All bytes of the header, those of the sum itself as blanks; some old programs took them as signed.
bool sum_fits(std::string_view header) {
  std::uint64_t told;
  if (!number_of(header.substr(148, 8), told)) return false;
  std::int64_t plain = 0, as_signed = 0;
  for (std::size_t i = 0; i < header.size(); ++i) {
    const char c = i >= 148 && i < 156 ? ' ' : header[i];
    plain += static_cast<unsigned char>(c), as_signed += static_cast<signed char>(c);
  }
  return std::int64_t(told) == plain || std::int64_t(told) == as_signed;
}

// What pax headers and GNU's long names say of the next member.
struct Said {
  std::string name;
  std::uint64_t size = 0;
  bool has_name = false, has_size = false;
};

class Reader {
 public:
  Reader(const ByteSource& file, const Place& place, const Function<void(const TarMember&)>& on_member) : file_(file), place_(place), on_member_(on_member) {}

  TarCounts read() {
    std::string header(block, '\0');
    for (;;) {
      if (file_.size - at_ < block) bad_file(at_byte(place_, at_), "the archive is cut short", "a header, or the blocks of zeros that end it", std::to_string(file_.size - at_) + " bytes");
      file_.read(at_, header.data(), block);
      if (header.find_first_not_of('\0') == header.npos) break;
      member(header);
    }
    if (said_.has_name || said_.has_size) bad_file(at_byte(place_, at_), "the archive ends behind a name without its file");
    check_end();
    return counts_;
  }

 private:
  void member(std::string_view header) {
    const Place here = at_byte(place_, at_);
    std::uint64_t size = 0;
    if (!sum_fits(header)) bad_file(here, "the header's checksum is wrong", "a tar archive");
    if (!number_of(header.substr(124, 12), size)) bad_file(here, "a size that is no number");
    const char type = header[156];
    at_ += block;
    if (type == 'x' || type == 'L' || type == 'K' || type == 'g') return meta(type, size, here);
    const Said said = std::exchange(said_, {});
    if (said.has_size) size = said.size;
    std::string name = said.has_name ? said.name : std::string(text_of(header.substr(0, 100)));
    if (const std::string_view prefix = text_of(header.substr(345, 155)); !said.has_name && header.substr(257, 6) == std::string_view("ustar\0", 6) && !prefix.empty())
      name = std::string(prefix) + "/" + name;
    if (type == '1' || type == '2') return void(++counts_.links);  // no bytes follow, whatever the size says
    if (type == '3' || type == '4' || type == '6') return void(++counts_.devices);
    if (type == '5') return;
    if (type == 'S' || type == 'M') bad_file(here, "a sparse or split file", "whole files", "type " + std::string(1, type));
    check_size(size, here);
    while (name.starts_with("./")) name.erase(0, 2);
    if ((type == '0' || type == '\0' || type == '7') && !name.ends_with('/')) {
      check_plain_name(name, here);
      ++counts_.files;
      on_member_({name, at_, size});
    } else if (type != '0' && type != '\0') {
      ++counts_.devices;  // a kind that is not known
    }
    at_ += padded(size);
  }

  void check_size(std::uint64_t size, const Place& here) const {
    if (size > file_.size - at_) bad_file(here, "a member leaves the file", "at most " + std::to_string(file_.size - at_) + " bytes", std::to_string(size));
    if (padded(size) > file_.size - at_) bad_file(here, "the archive is cut short");
  }

  void meta(char type, std::uint64_t size, const Place& here) {
    check_size(size, here);
    const std::uint64_t limit = type == 'x' ? longest_pax : longest_name + 1;
    if ((type == 'x' || type == 'L') && size > limit) bad_file(here, "a name is too long", "at most " + std::to_string(longest_name) + " bytes", std::to_string(size));
    if (type == 'x') pax(file_.text(at_, size), here);
    if (type == 'L') {
      said_.name = text_of(file_.text(at_, size));
      said_.has_name = true;
    }
    at_ += padded(size);
  }

  // "LENGTH KEY=VALUE\n", one after the other.
  void pax(std::string_view records, const Place& here) {
    while (!records.empty()) {
      std::size_t digits = 0, length = 0;
      for (; digits < std::min<std::size_t>(records.size(), 7) && records[digits] >= '0' && records[digits] <= '9'; ++digits) length = 10 * length + std::size_t(records[digits] - '0');
      const std::size_t equal = records.find('=');
      if (digits == 0 || digits >= records.size() || records[digits] != ' ' || length > records.size() || length < digits + 3 || records[length - 1] != '\n' || equal >= length)
        bad_file(here, "a pax record that is none", "LENGTH KEY=VALUE");
      const std::string_view key = records.substr(digits + 1, equal - digits - 1), value = records.substr(equal + 1, length - equal - 2);
      if (key == "path") {
        if (value.size() > longest_name) bad_file(here, "a name is too long", "at most " + std::to_string(longest_name) + " bytes", std::to_string(value.size()));
        said_.name = value, said_.has_name = true;
      } else if (key == "size") {
        if (value.empty() || value.size() > 18 || value.find_first_not_of("0123456789") != value.npos) bad_file(here, "a size that is no number", {}, std::string(value));
        said_.size = std::stoull(std::string(value)), said_.has_size = true;
      } else if (key.starts_with("GNU.sparse")) {
        bad_file(here, "a sparse or split file", "whole files");
      }
      records.remove_prefix(length);
    }
  }

  // Archives laid one behind the other look like one that ends early: what is behind must be zeros.
  void check_end() const {
    const std::string rest = file_.text(at_, std::min(looked_beyond, file_.size - at_));
    if (const std::size_t more = rest.find_first_not_of('\0'); more != rest.npos)
      bad_file(at_byte(place_, at_ + more), "there is something behind the end of the archive", "one archive a file");
  }

  const ByteSource& file_;
  const Place& place_;
  const Function<void(const TarMember&)>& on_member_;
  std::uint64_t at_ = 0;
  TarCounts counts_;
  Said said_;
};

std::string header_of(std::string_view name, std::uint64_t size, char type) {
  std::string h(block, '\0');
  const auto put = [&](std::size_t at, std::string_view text) { std::copy(text.begin(), text.end(), h.begin() + std::ptrdiff_t(at)); };
  const auto octal = [&](std::size_t at, std::size_t digits, std::uint64_t value) {
    for (std::size_t i = digits; i-- > 0; value >>= 3) h[at + i] = char('0' + (value & 7));
  };
  put(0, name.substr(0, 100));
  octal(100, 7, 0644), octal(108, 7, 0), octal(116, 7, 0), octal(124, 11, size), octal(136, 11, 0);
  h[156] = type;
  put(257, std::string_view("ustar\0" "00", 8));
  put(148, std::string(8, ' '));
  std::uint64_t sum = 0;
  for (const char c : h) sum += static_cast<unsigned char>(c);
  octal(148, 6, sum);
  h[154] = '\0';
  return h;
}

std::string with_header(std::string_view name, std::string_view content, char type) {
  std::string out = header_of(name, content.size(), type);
  out += content;
  out.resize(std::size_t(padded(out.size())), '\0');
  return out;
}

}  // namespace

bool looks_like_tar(std::string_view first) { return first.size() >= block && (first.substr(257, 5) == "ustar" || sum_fits(first.substr(0, block))); }

TarCounts read_tar(const ByteSource& file, const Place& place, const Function<void(const TarMember&)>& on_member) { return Reader(file, place, on_member).read(); }

std::string tar_member(std::string_view name, std::string_view content) {
  if (content.size() >= std::uint64_t(1) << 33) fail({.op = "tar_member", .what = "the content is too large", .expected = "less than 8 GiB", .got = std::to_string(content.size())}, Site{});
  if (name.size() <= 100) return with_header(name, content, '0');
  const std::string record = " path=" + std::string(name) + "\n";
  std::size_t length = record.size();
  while (std::to_string(length).size() + record.size() != length) length = std::to_string(length).size() + record.size();
  return with_header("pax", std::to_string(length) + record, 'x') + with_header(name, content, '0');
}

std::string tar_end() { return std::string(2 * block, '\0'); }

}  // namespace sspo::io
