#include "sspo/grad/trace.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>

#include "backend.hpp"

namespace sspo {
namespace {

double clock_us() {
  using namespace std::chrono;
  return duration<double, std::micro>(steady_clock::now().time_since_epoch()).count();
}

}  // namespace

struct Trace::Lock { std::mutex mutex; };

Trace::Trace(const Device& device, Site at) : device_(device), origin_us_(clock_us()), lock_(Shared<Lock>::make()) {
  if (device.state().trace)
    fail({.op = "trace", .what = "the device is being traced already", .expected = "one Trace at a time", .got = device.name()}, at);
  device.state().trace = this;
}
Trace::~Trace() { device_.state().trace = nullptr; }

double Trace::now_us() const { return clock_us() - origin_us_; }

void Trace::add(Event event) {
  const std::lock_guard lock(lock_->mutex);
  events_.push_back(std::move(event));
}

void Trace::write_chrome(const std::string& path, Site at) const {
  std::FILE* file = std::fopen(path.c_str(), "w");
  bool good = file != nullptr;
  if (file) {
    std::fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n", file);
    for (std::size_t i = 0; i < events_.size(); ++i) {
      const Event& e = events_[i];
      std::fprintf(file, "%s{\"name\":\"%.*s\",\"cat\":\"op\",\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":%.3f,\"dur\":%.3f,"
                   "\"args\":{\"shapes\":\"%s\",\"bytes\":%zu,\"in_use\":%zu}}", i ? ",\n" : "", int(e.op.size()), e.op.data(),
                   e.start_us, e.duration_us, e.shapes.c_str(), e.bytes, e.in_use);
      std::fprintf(file, ",\n{\"name\":\"bytes in use\",\"ph\":\"C\",\"pid\":1,\"ts\":%.3f,\"args\":{\"bytes\":%zu}}",
                   e.start_us + e.duration_us, e.in_use);
    }
    std::fputs("\n]}\n", file);
    good = !std::ferror(file);
    good &= std::fclose(file) == 0;
  }
  if (!good)
    fail({.op = "trace", .what = "cannot write the trace", .expected = "a writable path", .got = path, .kind = ErrorKind::io}, at);
}

std::string Trace::summary() const {
  struct Row { int calls = 0; double us = 0; double bytes = 0; };
  std::map<std::string_view, Row> rows;
  for (const Event& e : events_) {
    Row& r = rows[e.op];
    ++r.calls;
    r.us += e.duration_us;
    r.bytes += double(e.bytes);
  }
  std::vector<std::pair<std::string_view, Row>> order(rows.begin(), rows.end());
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second.us > b.second.us; });
  std::string text = "op                     calls        ms     GB/s\n";
  for (const auto& [op, r] : order) {
    char line[128];
    std::snprintf(line, sizeof line, "%-20.*s %7d %9.3f %8.2f\n", int(op.size()), op.data(), r.calls, r.us / 1e3, r.us > 0 ? r.bytes / r.us / 1e3 : 0.0);
    text += line;
  }
  return text;
}

}  // namespace sspo
