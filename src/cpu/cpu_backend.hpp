// The CPU as a Backend: views in, kernels of the chosen instruction set.
#pragma once
#include "backend.hpp"
#include "cpu/context.hpp"

namespace sspo::cpu {

Shared<DeviceState> make_device(const CpuOptions& options);

}  // namespace sspo::cpu
