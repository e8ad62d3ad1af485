// A preference run opened to be looked at, by sspo gate and sspo pair: one that has ended, or one that was stopped on the way.
#pragma once
#include <string>

#include "cli/train_tasks.hpp"

namespace sspo::cli {

enum class Ended { must_have, need_not_have };

struct OpenedRun {
  // Error{file}: no preference run, not finished where it must be, or what it started from is not there any more. Error{locked}: it is
  // being trained.
  OpenedRun(const std::string& path, const Device& device, Ended ended = Ended::must_have);
  OpenedRun(const OpenedRun&) = delete;  // the context refers to the rest

  Recipe recipe;
  bool finished;
  Device device;
  TrainData data;
  TrainModel model;
  RunFolder folder;
  Watchdog watchdog;
  TrainContext context;
};

}  // namespace sspo::cli
