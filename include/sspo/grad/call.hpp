// What apply (ops/op.hpp) does that depends on no op: checks, tracing, recording.
#pragma once
#include <span>

#include "sspo/grad/node.hpp"

namespace sspo::detail {

// While one lives, this thread computes an op or its gradient: who holds memory in reports, what a device's errors name.
class OpInProgress {
 public:
  OpInProgress(const OpInfo& op, std::span<const Tensor> inputs, Site at, bool gradient = false);
  ~OpInProgress();
  OpInProgress(const OpInProgress&) = delete;
  static const OpInProgress* current();  // null: none
  std::string_view name() const { return op_.name; }
  std::string text() const;  // "conv2d of [2, 8, 8, 4] f32, [8, 3, 3, 4] f32"; "the gradient of conv2d of ..."
  Site at() const { return at_; }

 private:
  const OpInfo& op_;
  std::span<const Tensor> inputs_;
  Site at_;
  bool gradient_;
  const OpInProgress* outer_;
  const char* outer_label_;
};

// One call of an op, from its checks to its trace event.
struct CallRecord {
  CallRecord(const OpInfo& op, std::span<const Tensor> inputs, Site at);  // checks devices, opens the trace event
  CallRecord(const CallRecord&) = delete;
  bool tracked = false;
  void finish(const Tensor& y);  // closes the trace event

 private:
  const OpInfo& op_;
  std::span<const Tensor> inputs_;
  OpInProgress progress_;
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
