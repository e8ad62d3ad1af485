// What apply (ops/op.hpp) does that depends on no op: checks, tracing, recording.
#pragma once
#include <span>

#include "sspo/grad/node.hpp"

namespace sspo::detail {

// One call of an op, from its checks to its trace event.
struct CallRecord {
  CallRecord(const OpInfo& op, std::span<const Tensor> inputs, Site at);  // checks devices, opens trace and memory label
  ~CallRecord();
  CallRecord(const CallRecord&) = delete;
  bool tracked = false;
  void finish(const Tensor& y);  // closes the trace event

 private:
  const OpInfo& op_;
  std::span<const Tensor> inputs_;
  const char* outer_label_;
  double start_us_ = -1;
};
// While one lives on this thread nothing is recorded: how recompute() runs its function the first time.
class RecordingPause {
 public:
  RecordingPause();
  ~RecordingPause();
  bool met_tracked() const;  // would anything have been recorded?
  const Tensors& parameters() const { return parameters_; }  // those that ops have read meanwhile

 private:
  void meet(const Tensor& operand);
  RecordingPause* outer_;
  bool met_ = false;
  Tensors parameters_;
  friend struct CallRecord;
};
Shared<Node> make_node(const OpInfo& op, std::span<const Tensor> inputs, const Tensor& y);

}  // namespace sspo::detail
