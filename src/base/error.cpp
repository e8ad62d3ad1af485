#include "sspo/base/error.hpp"

#include <string_view>

#include "sspo/base/function.hpp"

namespace sspo {
namespace {

std::string_view file_name(std::string_view path) { return path.substr(path.find_last_of('/') + 1); }

}  // namespace

Error::Error(ErrorInfo info, Site at) : info_(std::move(info)), at_(at) {
  text_ = info_.op.empty() ? info_.what : info_.op + ": " + info_.what;
  if (info_.kind == ErrorKind::file || info_.kind == ErrorKind::io) {
    std::string more;
    const auto add = [&more](const char* label, const std::string& value) {
      if (!value.empty()) more += (more.empty() ? "" : ", ") + std::string(label) + value;
    };
    add("expected ", info_.expected);
    add("got ", info_.got);
    if (!more.empty()) text_ += " (" + more + ")";
    if (!info_.hint.empty()) text_ += "; " + info_.hint;
    return;
  }
  const auto line = [this](const char* label, const std::string& value) {
    if (!value.empty()) text_ += std::string("\n  ") + label + value;
  };
  line("expected  ", info_.expected);
  line("got       ", info_.got);
  if (at_.line) line("at        ", std::string(file_name(at_.file)) + ":" + std::to_string(at_.line));
  line("hint      ", info_.hint);
}

void fail(ErrorInfo info, Site at) { throw Error(std::move(info), at); }

void detail::called_empty_function() {
  fail({.op = "call", .what = "an empty function was called", .expected = "a function", .got = "Function{}"}, Site{});
}

}  // namespace sspo
