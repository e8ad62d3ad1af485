#include "cli/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace sspo::cli {

Progress::Progress(std::string what, Index total, Index already) : what_(std::move(what)), total_(total), already_(already), terminal_(isatty(STDERR_FILENO)) {
  if (!terminal_) shown_ = start_;
}

Progress::~Progress() {
  if (terminal_ && shown_ != Clock::time_point{}) std::fputc('\n', stderr);
}

void Progress::update(Index done, std::string_view note) {
  using namespace std::chrono;
  const auto now = Clock::now();
  if (now - shown_ < (terminal_ ? milliseconds(100) : milliseconds(10'000)) && done < total_) return;
  shown_ = now;
  const double share = double(done) / double(total_), elapsed = duration<double>(now - start_).count();
  const int left = done > already_ ? int(elapsed * double(total_ - done) / double(done - already_) + 0.5) : 0;
  const std::string status = fmt::format("{} {}/{}  {}:{:02} left  {}", what_, done, total_, left / 60, left % 60, note);
  if (terminal_) {
    const int filled = int(share * 24);
    fmt::print(stderr, "\r[{:#>{}}{:.>{}}] {}\x1b[K", "", filled, "", 24 - filled, status);
  } else {
    fmt::print(stderr, "{}\n", status);
  }
  std::fflush(stderr);
}

}  // namespace sspo::cli
