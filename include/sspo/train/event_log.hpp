// EventLog: the scalars of a run as TensorBoard reads them, beside metrics.jsonl.
//   EventLog events("out/run", resumed_step);   events.add(step, {{"loss", 0.1}});        // tensorboard --logdir out
// Each start of a run begins a file of its own, events.out.tfevents.SECONDS.sspo, which says that steps from here on are made again:
// TensorBoard then drops what an earlier file has of them.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sspo/train/run_folder.hpp"

namespace sspo {

class EventLog {
 public:
  EventLog(const std::string& folder, Index step);  // step: finished ones
  ~EventLog();
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;
  void add(Index step, const std::vector<Metric>& metrics);  // a number that is not finite is left out
  const std::string& path() const { return path_; }

 private:
  void write(std::string_view event);
  std::string path_;
  int descriptor_ = -1;
};

// --- the format, for tests

// CRC-32C (Castagnoli), and as it stands in TFRecord files: turned by 15 bits, a constant added.
std::uint32_t crc32c(std::string_view bytes);
std::uint32_t masked_crc32c(std::string_view bytes);
std::string tf_record(std::string_view data);  // length, its sum, data, its sum
// protobuf Event of TensorFlow's event.proto: {wall_time = 1, step = 2, summary = 5 {value = 1 {tag = 1, simple_value = 2}}}
std::string scalars_event(double wall_time, Index step, const std::vector<Metric>& metrics);

}  // namespace sspo
