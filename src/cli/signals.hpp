// Ctrl-C and its kin: the work stops at its next step, the program exits with 128 + signal. A second
// one exits at once.
#pragma once

namespace sspo::cli {

struct Interrupted { int signal; };  // thrown

void catch_signals();        // SIGINT, SIGTERM, SIGHUP, SIGUSR1; SIGPIPE and SIGXFSZ become write errors
int signal_received();       // 0: none
void stop_if_interrupted();  // throws Interrupted

}  // namespace sspo::cli
