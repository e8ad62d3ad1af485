// How far a long job is, on stderr: a bar with the time left on a terminal, a line every ten seconds elsewhere.
//   Progress progress("training", steps);   progress.update(step + 1, "loss 0.041");
#pragma once
#include <chrono>
#include <string>
#include <string_view>

#include "sspo/base/config.hpp"

namespace sspo::cli {

class Progress {
 public:
  Progress(std::string what, Index total, Index already = 0);  // `already`: done by an earlier process
  ~Progress();  // leaves the line of the bar
  Progress(const Progress&) = delete;
  void update(Index done, std::string_view note);

 private:
  using Clock = std::chrono::steady_clock;
  std::string what_;
  Index total_, already_;
  bool terminal_;
  Clock::time_point start_ = Clock::now(), shown_{};
};

}  // namespace sspo::cli
