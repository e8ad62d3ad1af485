// What the benches of whole models share: an execution timed again and again, its memory, and where its time goes.
//   print_times(step, seconds, device, load, check);     print_ops(step, device, by_shape);
// Both print one line of JSON, which the Python script beside reads.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sspo/grad/trace.hpp"

namespace sspo::bench {

inline double seconds_now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Of all threads: what other processes take from the cores does not count.
inline double cpu_seconds() { return double(std::clock()) / CLOCKS_PER_SEC; }

inline double status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key)) return std::atof(line.c_str() + key.size()) * 1024;
  return 0;
}
// Bytes of the resident set: now, and the most since reset_peak_rss. Pages of files that are mapped count as long as they are there.
inline double rss() { return status_bytes("VmRSS:"); }
inline double peak_rss() { return status_bytes("VmHWM:"); }
inline void reset_peak_rss() { std::ofstream("/proc/self/clear_refs") << "5"; }

struct Load {
  double seconds, rss, peak;  // of loading the model and its inputs: time, bytes afterwards, most bytes meanwhile
};

// `check`: a number that shows that the work was done, as both sides compute it. The work has run once. With 0 seconds it runs twice more.
inline void print_times(const std::function<void()>& work, double seconds, const Device& device, const Load& load, double check) {
  if (seconds > 0) work();  // threads are awake, caches warm
  std::vector<double> times, cpu;
  const std::size_t least = seconds > 0 ? 3 : 2;
  for (const double end = seconds_now() + seconds; times.size() < least || seconds_now() < end;) {
    const double start = seconds_now(), cpu_start = cpu_seconds();
    work();
    times.push_back(seconds_now() - start);
    cpu.push_back(cpu_seconds() - cpu_start);
  }
  std::sort(times.begin(), times.end());
  std::printf("{\"min\": %.6g, \"median\": %.6g, \"cpu\": %.6g, \"executions\": %zu, \"rss_growth\": %.0f, \"arena_peak\": %.0f, \"load_s\": %.4g, "
              "\"load_peak\": %.0f, \"peak\": %.0f, \"check\": %.9g}\n", times.front(), times[times.size() / 2], *std::min_element(cpu.begin(), cpu.end()), times.size(),
              peak_rss() - load.rss, double(device.memory().peak), load.seconds, load.peak, std::max(load.peak, peak_rss()), check);
}

// Seconds an execution and calls, by op or by op and shapes: of each call the least over the executions, so that other processes count little.
inline void print_ops(const std::function<void()>& work, const Device& device, bool by_shape = false) {
  work();
  constexpr int executions = 9;
  std::vector<Trace::Event> least;
  double whole = 1e300;
  for (int i = 0; i < executions; ++i) {
    Trace trace(device);
    const double start = seconds_now();
    work();
    whole = std::min(whole, seconds_now() - start);
    if (least.empty()) least = trace.events();
    for (std::size_t e = 0; e < std::min(least.size(), trace.events().size()); ++e) least[e].duration_us = std::min(least[e].duration_us, trace.events()[e].duration_us);
  }
  std::map<std::string, std::pair<double, int>> ops;
  for (const Trace::Event& e : least) {
    auto& [total, calls] = ops[std::string(e.op) + (by_shape ? " " + e.shapes : "")];
    total += e.duration_us * 1e-6;
    ++calls;
  }
  std::printf("{\"whole\": %.6g, \"ops\": {", whole);
  const char* comma = "";
  for (const auto& [op, cost] : ops) {
    std::printf("%s\"%s\": [%.6g, %d]", comma, op.c_str(), cost.first, cost.second);
    comma = ", ";
  }
  std::printf("}}\n");
}

}  // namespace sspo::bench
