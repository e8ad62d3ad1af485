#include "cli/signals.hpp"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <initializer_list>

namespace sspo::cli {
namespace {

volatile sig_atomic_t received = 0;

void on_signal(int signal) {
  if (received) _exit(128 + signal);
  received = signal;
}

}  // namespace

void wait_with_manners(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  setenv("GOMP_SPINCOUNT", "10000", 1);
  execv("/proc/self/exe", argv);  // comes back only where it cannot: then as it is
}

void catch_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) sigaction(signal, &action, nullptr);
  action.sa_handler = SIG_IGN;
  for (int signal : {SIGPIPE, SIGXFSZ}) sigaction(signal, &action, nullptr);
}

int signal_received() { return received; }

void stop_if_interrupted() {
  if (received) throw Interrupted{received};
}

}  // namespace sspo::cli
