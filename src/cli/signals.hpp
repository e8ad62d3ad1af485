// Ctrl-C and its kin: the work stops at its next step, the program exits with 128 + signal. A second
// one exits at once.
#pragma once

namespace sspo::cli {

struct Interrupted { int signal; };  // thrown

// Threads that wait for each other spin a little, then sleep: libgomp's own long spin costs ten times the work where others use the
// machine. It reads its environment before main, so the program starts itself anew, unless the user has chosen.
void wait_with_manners(char** argv);

void catch_signals();        // SIGINT, SIGTERM, SIGHUP, SIGUSR1; SIGPIPE and SIGXFSZ become write errors
int signal_received();       // 0: none
void stop_if_interrupted();  // throws Interrupted

}  // namespace sspo::cli
