// A device for planning: ops check their operands, allocate and record as on the CPU, and compute nothing. Memory is reserved, never
// touched: a model of any size is built in milliseconds and takes no pages, while memory() counts every byte.
//   Device plan = rehearsal_device({.threads = 2});
//   UNet unet(params_on(plan), config);  unet(x, t, text);  plan.memory().peak
// Numbers mean nothing here. Workspaces of single kernels, which live within one call, are not counted.
#pragma once
#include "sspo/base/device.hpp"

namespace sspo {

Device rehearsal_device(const CpuOptions& options = {});

}  // namespace sspo
