// Trace: every op that runs on a device while the object lives: name, shapes, time, bytes.
//   { Trace trace(cpu);  loss = f(x);  trace.write_chrome("step.json"); }   // open in chrome://tracing or Perfetto
#pragma once
#include <string>
#include <vector>

#include "sspo/tensor/tensor.hpp"

namespace sspo {

class Trace {
 public:
  struct Event {
    std::string_view op;
    std::string shapes;   // "[4, 8] f32, [8, 3] f32 -> [4, 3] f32"
    double start_us;      // since the trace began
    double duration_us;
    std::size_t bytes;    // of inputs and result: what the op has to touch at least
    std::size_t in_use;   // bytes in use on the device afterwards
  };
  explicit Trace(const Device& device, Site at = Site::current());  // throws Error if the device is being traced already
  ~Trace();
  Trace(const Trace&) = delete;

  const std::vector<Event>& events() const { return events_; }
  void write_chrome(const std::string& path, Site at = Site::current()) const;  // Chrome trace format, JSON; throws Error naming the path
  std::string summary() const;                       // a table: op, calls, total ms, GB/s; slowest first

  double now_us() const;
  void add(Event event);

 private:
  Device device_;
  double origin_us_;
  struct Lock;
  Shared<Lock> lock_;  // ops may run on several threads
  std::vector<Event> events_;
};

}  // namespace sspo
