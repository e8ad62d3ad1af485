#include "sspo/train/watchdog.hpp"

#include <dirent.h>
#include <execinfo.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "backend.hpp"

namespace sspo {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int exit_internal = 70;

// Runs on each thread in turn: its op and its stack, with calls that a signal handler may make.
void show_thread(int) {
  char line[160];
  const char* op = memory_label();
  const int n = std::snprintf(line, sizeof line, "thread %ld, op %.60s\n", static_cast<long>(syscall(SYS_gettid)), op ? op : "none");
  if (write(STDERR_FILENO, line, std::size_t(n)) < 0) return;
  void* frames[64];
  backtrace_symbols_fd(frames, backtrace(frames, 64), STDERR_FILENO);
}

void show_threads() {
  struct sigaction action = {};
  action.sa_handler = show_thread;
  sigaction(SIGUSR2, &action, nullptr);
  DIR* tasks = opendir("/proc/self/task");
  if (!tasks) return;
  while (const dirent* entry = readdir(tasks)) {
    const long thread = std::strtol(entry->d_name, nullptr, 10);
    if (thread <= 0 || thread == syscall(SYS_gettid)) continue;
    syscall(SYS_tgkill, getpid(), thread, SIGUSR2);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // one after the other
  }
  closedir(tasks);
}

}  // namespace

struct Watchdog::State {
  double limit_s;
  std::string where;
  std::atomic<Clock::duration::rep> last{Clock::now().time_since_epoch().count()};
  std::atomic<const char*> doing{"start"};
  std::atomic<double> expected_s{0};
  std::mutex mutex;
  std::condition_variable stop;
  bool stopped = false;
  std::thread thread;

  void watch() {
    const auto pause = std::chrono::duration<double>(std::clamp(limit_s / 4, 0.05, 1.0));
    std::unique_lock lock(mutex);
    while (!stop.wait_for(lock, pause, [this] { return stopped; })) {
      const double still = std::chrono::duration<double>(Clock::now().time_since_epoch() - Clock::duration(last.load())).count();
      const double limit = std::max(limit_s, 10 * expected_s.load());
      if (still <= limit) continue;
      std::fprintf(stderr, "error: %s: no progress for %.0f s (limit %.0f s) in: %s\n", where.c_str(), still, limit, doing.load());
      show_threads();
      _exit(exit_internal);
    }
  }
};

Watchdog::Watchdog(double limit_s, std::string where) : state_(std::make_unique<State>()) {
  state_->limit_s = limit_s, state_->where = std::move(where);
  if (limit_s <= 0) return;
  void* frame[1];
  backtrace(frame, 1);  // loads what it needs now, not inside a handler
  state_->thread = std::thread([s = state_.get()] { s->watch(); });
}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopped = true;
  }
  state_->stop.notify_all();
  if (state_->thread.joinable()) state_->thread.join();
}

void Watchdog::beat(const char* doing) {
  state_->doing = doing;
  state_->last = Clock::now().time_since_epoch().count();
}

void Watchdog::expect(double s) { state_->expected_s = s; }

}  // namespace sspo
