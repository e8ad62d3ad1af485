// Error: the one exception of the engine. It says what failed, where, what was expected, what came
// instead, and the way out; its text is made for people and is tested.
//   fail({.op = "conv2d", .what = "input channels do not match the weight",
//         .expected = "320 channels", .got = "640 channels", .hint = "compare config.json"}, at);
#pragma once
#include <exception>
#include <string>

namespace sspo {

// Where in the caller's code: the defaulted last argument of ops. (std::source_location, which clang 14 lacks.)
struct Site {
  const char* file = "";
  int line = 0;
  static constexpr Site current(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
};

// input: the caller can mend it.  file: what a file holds is wrong; `op` names the place, the text is one line.
// non_finite: numbers became NaN or infinite.  locked: another process works there.
enum class ErrorKind { input, file, memory, io, internal, non_finite, locked };

struct ErrorInfo {
  std::string op = {};        // who found it: an op's or a function's name
  std::string what = {};      // one line
  std::string expected = {};  // the rule, with its reason
  std::string got = {};       // the offending value: shapes, dtypes, names
  std::string hint = {};      // the way out; may be empty
  ErrorKind kind = ErrorKind::input;
};

class Error : public std::exception {
 public:
  Error(ErrorInfo info, Site at);
  const char* what() const noexcept override { return text_.c_str(); }
  const ErrorInfo& info() const noexcept { return info_; }
  const Site& at() const noexcept { return at_; }

 private:
  ErrorInfo info_;
  Site at_;
  std::string text_;
};

[[noreturn]] void fail(ErrorInfo info, Site at = Site::current());

}  // namespace sspo
