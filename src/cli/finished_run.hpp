// A preference run that has ended, opened to be looked at: by sspo gate, by sspo pair.
#pragma once
#include <string>

#include "cli/train_tasks.hpp"

namespace sspo::cli {

struct FinishedRun {
  // Error{file}: no preference run, not finished, or what it started from is not there any more.
  FinishedRun(const std::string& path, int threads, const std::string& isa);
  FinishedRun(const FinishedRun&) = delete;  // the context refers to the rest

  Recipe recipe;
  Device device;
  TrainData data;
  TrainModel model;
  RunFolder folder;
  Watchdog watchdog;
  TrainContext context;
};

}  // namespace sspo::cli
