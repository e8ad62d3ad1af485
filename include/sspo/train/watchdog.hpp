// Watchdog: a run that stands still says where, and ends with exit code 70.
//   Watchdog watchdog(300, "out/run");      watchdog.beat("step");       // beats come while there is progress
#pragma once
#include <memory>
#include <string>

namespace sspo {

class Watchdog {
 public:
  // No beat for limit_s seconds, or ten times what was last expected if that is more: what was being done, each thread's op and
  // stack go to stderr, and the process exits with 70. limit_s 0: no watch is kept.
  Watchdog(double limit_s, std::string where);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  void beat(const char* doing);           // what begins now: text that stays
  void expect(double seconds_between_beats);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sspo
